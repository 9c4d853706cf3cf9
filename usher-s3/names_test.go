package main

import (
	"path"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	n := newNames(".sgwtmp", "meta")
	for _, c := range []struct{ key, file string }{
		{"a", "a"},
		{"a/b c/ü", "a/b c/ü"},
		{"dir/", "dir/\x01"},
		{"a//b", "a/\x01/b"},
		{"/a", "\x01/a"},
		{"a//", "a/\x01/\x01"},
		{"a/../b", "a/..\x01/b"},
		{"a/./b", "a/.\x01/b"},
		{"..", "..\x01"},
		{".sgwtmp/multipart/x", ".sgwtmp\x01/multipart/x"},
		{"x/.sgwtmp", "x/.sgwtmp\x01"},
		{"meta/policy", "meta\x01/policy"},
		{"a/..\x01/b", "a/..\x01\x01/b"},
		{"a/\x01/b", "a/\x01\x01/b"},
		{"a\x01/b", "a\x01/b"},
		{"...", "..."},
	} {
		if got := n.file(c.key); got != c.file {
			t.Errorf("file(%q) = %q, want %q", c.key, got, c.file)
		}
		if got := n.key(c.file); got != c.key {
			t.Errorf("key(%q) = %q, want %q", c.file, got, c.key)
		}
	}
	for _, c := range []struct{ prefix, file string }{
		{"", ""}, {"a", "a"}, {"a/", "a/"}, {"a//", "a/\x01/"}, {"a/.", "a/."}, {"a/../", "a/..\x01/"}, {"/", "\x01/"}, {"..", ".."},
	} {
		if got := n.prefix(c.prefix); got != c.file {
			t.Errorf("prefix(%q) = %q, want %q", c.prefix, got, c.file)
		}
	}
}

// Every key has its own file: the mapping can be undone, and no file system
// resolution changes it.
func FuzzNames(f *testing.F) {
	n := newNames(".sgwtmp", "meta")
	for _, k := range []string{"a", "a//b", "../x", "a/..\x01\x01", "\x01", "/", "a/", "//", ".sgwtmp\x01/"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if key == "" || len(key) > 1024 {
			return
		}
		file := n.file(key)
		if got := n.key(file); got != key {
			t.Fatalf("key(file(%q)) = %q", key, got)
		}
		if clean := strings.TrimSuffix(file, "/"); path.Clean(clean) != clean || clean == "" || clean[0] == '/' || strings.HasPrefix(clean, "../") {
			t.Fatalf("file(%q) = %q is resolved to %q", key, file, path.Clean(clean))
		}
		for i := range len(key) {
			if p := n.prefix(key[:i]); !strings.HasPrefix(file, p) {
				t.Fatalf("file(%q) = %q has not the prefix %q of %q", key, file, p, key[:i])
			}
		}
	})
}
