import sys

import yaml
from sklearn.ensemble import GradientBoostingClassifier

from pipeline.features import load


def main():
    config = yaml.safe_load(open(sys.argv[1] if len(sys.argv) > 1 else "config.yaml"))
    table = load(config["train"])
    model = GradientBoostingClassifier(learning_rate=config["learning_rate"])
    model.fit(table.drop(columns="label"), table["label"])


if __name__ == "__main__":
    main()
