"""What an alert starts: the newest data, a new model, and its validation."""

import batch
import train
import validate

if __name__ == "__main__":
    batch.main()
    train.main()
    validate.main()
