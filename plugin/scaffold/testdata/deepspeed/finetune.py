import argparse

import deepspeed
import torch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--local_rank", type=int, default=-1)
    parser.add_argument("--epochs", type=int, default=1)
    args = deepspeed.add_config_arguments(parser).parse_args()
    model = torch.nn.Linear(8, 1).cuda()
    engine, optimizer, _, _ = deepspeed.initialize(args=args, model=model, model_parameters=model.parameters())
    for epoch in range(args.epochs):
        loss = engine(torch.randn(4, 8, device=engine.device)).pow(2).mean()
        engine.backward(loss)
        engine.step()


if __name__ == "__main__":
    main()
