"""What fixed point costs a predistorter, under the Arena's judge: word lengths, scales, fine-tuning."""
