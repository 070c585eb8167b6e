"""What two or more questions share: settings, data, histories, the training loop, figures."""
