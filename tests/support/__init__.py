"""What tests share: generated media, fake workers, and small renders."""
