import os

WORLD, RANK = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])


def main():
    estimate = 0.0
    for epoch in range(5):
        shard = range(RANK, 1000 * (epoch + 1), WORLD)
        estimate = 4 * sum((-1) ** k / (2 * k + 1) for k in shard)
        print(f"rank {RANK}/{WORLD} epoch {epoch} loss {abs(estimate):.4f}", flush=True)


if __name__ == "__main__":
    main()
