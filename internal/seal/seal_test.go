package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	lineA = "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
	lineB = "b:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"
)

func parse(t testing.TB, text string) *Keyring {
	t.Helper()
	k, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, text, ids string }{
		{"generated", "old-1.x_Y" + Generate()[10:], "old-1.x_Y"},
		{"one", lineA, "a"},
		{"no newline", strings.TrimSpace(lineA), "a"},
		{"two, the first is active", lineB + lineA, "b a"},
		{"comments, blanks and CRLF", "# keys\r\n\r\n  " + strings.ReplaceAll(lineA+lineB, "\n", "\r\n"), "a b"},
		{"empty", "", ""},
		{"only comments", "# a\n\n", ""},
		{"no id", lineA[1:], ""},
		{"long id", strings.Repeat("a", 33) + lineA[1:], ""},
		{"bad id", "ä" + lineA[1:], ""},
		{"no colon", strings.ReplaceAll(lineA, ":", ""), ""},
		{"twice", lineA + lineA, ""},
		{"31 bytes", "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", ""},
		{"33 bytes", "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", ""},
		{"stray bits", strings.Replace(lineA, "Hh8=", "Hh9=", 1), ""},
		{"no padding", strings.Replace(lineA, "=", "", 1), ""},
		{"zero key", "a:" + strings.Repeat("A", 43) + "=", ""},
		{"no key", "a:", ""},
		{"one good, one bad", lineA + "b:x", ""},
	} {
		k, err := Parse(c.text)
		got := ""
		if err == nil {
			got = strings.Join(k.KeyIDs(), " ")
		}
		if got != c.ids || (err == nil) != (c.ids != "") {
			t.Errorf("%s: keys %q, %v, want %q", c.name, got, err, c.ids)
		}
		if err != nil && strings.Contains(err.Error(), "AAECAwQF") {
			t.Errorf("%s: the error holds the key: %v", c.name, err)
		}
	}
	if Generate() == Generate() {
		t.Error("Generate repeats itself")
	}
}

func TestKeyringPrintsWithoutKeys(t *testing.T) {
	k := parse(t, lineA+lineB)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != "seal.Keyring(a)" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestSealAndOpen(t *testing.T) {
	box := parse(t, lineA).Box("p")
	for _, plaintext := range []string{"", "x", strings.Repeat("long ", 1000)} {
		for _, ad := range []string{"", "row 1"} {
			sealed := box.Seal([]byte(plaintext), []byte(ad))
			if want := 2 + 1 + 24 + len(plaintext) + 16; len(sealed) != want {
				t.Errorf("%d bytes sealed, want %d", len(sealed), want)
			}
			got, err := box.Open(sealed, []byte(ad))
			if err != nil || string(got) != plaintext {
				t.Errorf("opened %q, %v, want %q", got, err, plaintext)
			}
			if bytes.Equal(sealed, box.Seal([]byte(plaintext), []byte(ad))) {
				t.Error("sealed the same way twice")
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	ring := parse(t, lineA+lineB)
	sealed := ring.Box("p").Seal([]byte("secret"), []byte("ad"))
	for _, c := range []struct {
		name   string
		box    *Box
		sealed []byte
		ad     string
	}{
		{"another purpose", ring.Box("q"), sealed, "ad"},
		{"a longer purpose", ring.Box("p "), sealed, "ad"},
		{"other associated data", ring.Box("p"), sealed, "a"},
		{"no associated data", ring.Box("p"), sealed, ""},
		{"another key of the same name", parse(t, "a"+lineB[1:]).Box("p"), sealed, "ad"},
		{"truncated", ring.Box("p"), sealed[:len(sealed)-1], "ad"},
		{"extended", ring.Box("p"), append(bytes.Clone(sealed), 0), "ad"},
		{"empty", ring.Box("p"), nil, "ad"},
		{"claims the other key", ring.Box("p"), append([]byte{1, 1, 'b'}, sealed[3:]...), "ad"},
	} {
		if got, err := c.box.Open(c.sealed, []byte(c.ad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: opened %q, %v", c.name, got, err)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			altered := bytes.Clone(sealed)
			altered[i] ^= 1 << bit
			if _, err := ring.Box("p").Open(altered, []byte("ad")); err == nil {
				t.Errorf("opened with bit %d of byte %d flipped", bit, i)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	before, during, after := parse(t, lineA), parse(t, lineB+lineA), parse(t, lineB)
	old := before.Box("p").Seal([]byte("old"), nil)
	if got, err := during.Box("p").Open(old, nil); err != nil || string(got) != "old" {
		t.Errorf("opened %q, %v under the older key", got, err)
	}
	renewed := during.Box("p").Seal([]byte("new"), nil)
	if got, err := after.Box("p").Open(renewed, nil); err != nil || string(got) != "new" {
		t.Errorf("opened %q, %v: not sealed under the active key", got, err)
	}
	_, err := after.Box("p").Open(old, nil)
	if unknown, ok := errors.AsType[*UnknownKeyError](err); !ok || unknown.KeyID != "a" {
		t.Errorf("opened under a removed key: %v", err)
	}

	mac := before.Derive("mac", 32)
	if got, err := during.DeriveFrom(before.ActiveKey(), "mac", 32); err != nil || !bytes.Equal(got, mac) {
		t.Errorf("derived %x, %v, want %x", got, err, mac)
	}
	if bytes.Equal(during.Derive("mac", 32), mac) || bytes.Equal(before.Derive("mac2", 32), mac) {
		t.Error("another key or purpose derives the same")
	}
	if _, err := after.DeriveFrom("a", "mac", 32); err == nil {
		t.Error("derived from a removed key")
	}
}

// TestFormIsStable pins what is stored in databases: it must open forever.
func TestFormIsStable(t *testing.T) {
	k := parse(t, lineA)
	if got := hex.EncodeToString(k.Derive("mac", 16)); got != stableKey {
		t.Errorf("Derive = %s", got)
	}
	sealed, _ := hex.DecodeString(stableSealed)
	if got, err := k.Box("p").Open(sealed, []byte("ad")); string(got) != "secret" {
		t.Errorf("opened %q, %v; a new one is %x", got, err, k.Box("p").Seal([]byte("secret"), []byte("ad")))
	}
}

const (
	stableKey    = "22595ee7e15a48535ab6c772b26aaa5d"
	stableSealed = "010161d4d8d1848ac821b72b45718e26ed7beb3de954bdcbba5137ddc8d4dff6fe530e305f4f15736ba208c8c1c33de1fb"
)

func FuzzParse(f *testing.F) {
	f.Add(lineA + lineB)
	f.Add("# x\n" + Generate())
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := Parse(text); err == nil {
			if _, err := k.Box("p").Open(k.Box("p").Seal(nil, nil), nil); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// FuzzOpen checks that nothing opens but what was sealed.
func FuzzOpen(f *testing.F) {
	box := parse(f, lineA+lineB).Box("p")
	sealed := box.Seal([]byte("secret"), []byte("ad"))
	f.Add(sealed, []byte("ad"))
	f.Add([]byte{1, 255}, []byte{})
	f.Add([]byte{1, 1, 'a'}, []byte{})
	f.Fuzz(func(t *testing.T, data, ad []byte) {
		got, err := box.Open(data, ad)
		if err == nil && !(bytes.Equal(data, sealed) && string(ad) == "ad") {
			t.Errorf("%x opened to %q", data, got)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	box, plaintext, ad := parse(b, lineA).Box("p"), make([]byte, 600), []byte("row")
	b.ReportAllocs()
	for b.Loop() {
		box.Seal(plaintext, ad)
	}
}

func BenchmarkOpen(b *testing.B) {
	box, ad := parse(b, lineA).Box("p"), []byte("row")
	sealed := box.Seal(make([]byte, 600), ad)
	b.ReportAllocs()
	for b.Loop() {
		box.Open(sealed, ad)
	}
}
