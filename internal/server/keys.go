package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"usher/internal/seal"
)

// loadKeys reads the key-encryption keys from the environment or the key file, which the first start makes.
func loadKeys(cfg *Config) (*seal.Keyring, error) {
	if cfg.Key != "" {
		return seal.Parse(cfg.Key)
	}
	text, err := os.ReadFile(cfg.KeyFile)
	if errors.Is(err, os.ErrNotExist) && cfg.KeyFile == filepath.Join(cfg.Data, "key") {
		if _, err := os.Stat(cfg.CredentialsFile()); err == nil {
			return nil, fmt.Errorf("%s is missing, and this is not the first start: what is sealed cannot be opened with a new key; restore the file", cfg.KeyFile)
		}
		text = []byte(seal.Generate())
		err = writeNew(cfg.KeyFile, text)
	}
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(cfg.KeyFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others; chmod 600", cfg.KeyFile)
	}
	ring, err := seal.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.KeyFile, err)
	}
	return ring, nil
}

// writeNew writes a file for its owner alone, whole and durable or not at all.
func writeNew(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
