import lightgbm


def main():
    train = lightgbm.Dataset("queries.bin")
    booster = lightgbm.train({"objective": "lambdarank", "learning_rate": 0.05}, train)
    booster.save_model("model.txt")


if __name__ == "__main__":
    main()
