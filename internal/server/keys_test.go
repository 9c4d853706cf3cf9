package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"usher/internal/seal"
)

func TestKeyFile(t *testing.T) {
	cfg := Config{Data: t.TempDir()}
	if err := cfg.Complete(); err != nil {
		t.Fatal(err)
	}
	first, err := loadKeys(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadKeys(&cfg)
	if err != nil || again.Active() != first.Active() {
		t.Errorf("a second start has other keys: %v", err)
	}
	if err := os.Chmod(cfg.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKeys(&cfg); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key file that others may read: %v", err)
	}

	// Lost after the first start: a new key would open nothing, and must not be written in its place.
	if err := os.WriteFile(cfg.CredentialsFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKeys(&cfg); err == nil || !strings.Contains(err.Error(), "restore the file") {
		t.Errorf("a lost key file: %v", err)
	}
	if _, err := os.Stat(cfg.KeyFile); err == nil {
		t.Error("a lost key file was replaced")
	}

	// A file that the operator names is never made up.
	cfg.KeyFile = filepath.Join(t.TempDir(), "keys")
	if _, err := loadKeys(&cfg); err == nil {
		t.Error("a key file that does not exist was made")
	}
	cfg.Key = seal.Generate()
	if _, err := loadKeys(&cfg); err != nil {
		t.Errorf("keys from the environment: %v", err)
	}
}
