package userpool

import (
	"bytes"
	"testing"
	"time"
)

func TestPacker(t *testing.T) {
	var w packer
	w.text("text")
	w.number(-1)
	w.number(1 << 60)
	w.flag(true)
	w.bytes([]byte{0, 1})
	w.text("")
	r := unpacker{rest: w}
	if a, b, c, d, e, f := r.text(), r.number(), r.number(), r.flag(), r.bytes(), r.text(); a != "text" || b != -1 || c != 1<<60 || !d || !bytes.Equal(e, []byte{0, 1}) || f != "" {
		t.Errorf("read %q %d %d %v %x %q", a, b, c, d, e, f)
	}
	if !r.done() {
		t.Error("not done after all fields")
	}
	for n := range len(w) {
		r := unpacker{rest: w[:n]}
		r.text()
		r.number()
		r.number()
		r.flag()
		r.bytes()
		r.text()
		if r.done() {
			t.Errorf("done with %d of %d bytes", n, len(w))
		}
	}
	long := unpacker{rest: append(bytes.Clone(w), 0)}
	for range 3 {
		long.text()
	}
	if long.done() {
		t.Error("done with bytes left over")
	}
}

func FuzzUnpacker(f *testing.F) {
	f.Add([]byte{4, 't', 'e', 'x', 't', 1, 1})
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := unpacker{rest: data}
		text, n, flag, b := r.text(), r.number(), r.flag(), r.bytes()
		if !r.done() {
			return
		}
		var w packer
		w.text(text)
		w.number(n)
		w.flag(flag)
		w.bytes(b)
		again := unpacker{rest: w}
		if again.text() != text || again.number() != n || again.flag() != flag || !bytes.Equal(again.bytes(), b) || !again.done() {
			t.Errorf("%x does not survive", data)
		}
	})
}

func TestUsedBlocks(t *testing.T) {
	ctx, now := t.Context(), time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	u := newUsedBlocks(nil, false)
	expires := now.Add(3 * time.Minute).UnixMicro()
	if err := u.take(ctx, now, [16]byte{1}, expires); err != nil {
		t.Fatal(err)
	}
	if err := u.take(ctx, now, [16]byte{1}, expires); err != errSessionUsed {
		t.Errorf("second use: %v", err)
	}
	if err := u.take(ctx, now, [16]byte{2}, expires); err != nil {
		t.Errorf("another block: %v", err)
	}
	later := now.Add(10 * time.Minute)
	if err := u.take(ctx, later, [16]byte{3}, later.Add(3*time.Minute).UnixMicro()); err != nil {
		t.Error(err)
	}
	if len(u.minutes) != 1 {
		t.Errorf("%d minutes remembered, want 1", len(u.minutes))
	}
}

func TestOrigin(t *testing.T) {
	for _, us := range []int64{1772600767000000, 1772600767000001, 1772600767000999, 1772600767123456, 1772600767999999} {
		origin := newOrigin(time.UnixMicro(us))
		if got, ok := originTime(origin); !ok || got != us {
			t.Errorf("time of %s is %d %v, want %d", origin, got, ok, us)
		}
		if !startedBefore(origin, 0, us) || startedBefore(origin, 0, us-1) {
			t.Errorf("%s: wrong side of %d", origin, us)
		}
	}
	if a, b := newOrigin(time.Unix(1, 0)), newOrigin(time.Unix(1, 0)); a == b {
		t.Error("two sign-ins at one time have one origin")
	}
	for _, bad := range []string{"", "x", "34c84488-e0e1-40ae-92ee-991ad1a898c8", "34c84488-e0e1-70ae-92ee"} {
		if _, ok := originTime(bad); ok {
			t.Errorf("%q has a time", bad)
		}
	}
	if !startedBefore("", 100, 100_000_000) || startedBefore("", 101, 100_999_999) {
		t.Error("auth_time: wrong side")
	}
}

func TestRevokeTokens(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	u := &user{}
	u.revokeTokens(now)
	if u.TokensAfter != now.UnixMicro() {
		t.Errorf("revoked up to %d", u.TokensAfter)
	}
	u.revokeTokens(now.Add(-time.Hour)) // the clock was set back
	if u.TokensAfter <= now.UnixMicro() {
		t.Error("a revocation was taken back")
	}
}

func TestLockout(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, c := range []struct {
		failures int64
		wait     time.Duration
	}{{5, time.Second}, {6, 2 * time.Second}, {7, 4 * time.Second}, {14, 512 * time.Second}, {15, 15 * time.Minute}, {70, 15 * time.Minute}, {1 << 40, 15 * time.Minute}} {
		if got := lockedUntil(c.failures, at).Sub(at); got != c.wait {
			t.Errorf("%d failures lock for %v, want %v", c.failures, got, c.wait)
		}
		end := lockedUntil(c.failures, at)
		if n := failuresAt(c.failures, at, end.Add(15*time.Minute-1)); n != c.failures {
			t.Errorf("%d failures are %d before the quarter of an hour is over", c.failures, n)
		}
		if n := failuresAt(c.failures, at, end.Add(15*time.Minute)); n != 0 {
			t.Errorf("%d failures are %d after it", c.failures, n)
		}
	}
	if !lockedUntil(4, at).IsZero() {
		t.Error("4 failures lock")
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct{ attribute, value, want string }{
		{"email", "fox@example.com", "f***@e***"},
		{"email", "ü@ärzte.de", "ü***@ä***"},
		{"email", "", "***@***"},
		{"phone_number", "+12125551234", "+*******1234"},
		{"phone_number", "+12", "+12"},
	} {
		if got := mask(c.attribute, c.value); got != c.want {
			t.Errorf("%s masked: %s, want %s", c.value, got, c.want)
		}
	}
}

func TestPreferredRole(t *testing.T) {
	g := func(precedence int64, role string) group {
		g := group{RoleArn: &role}
		if precedence >= 0 {
			g.Precedence = &precedence
		}
		return g
	}
	for _, c := range []struct {
		name   string
		groups []group
		want   string
	}{
		{"none", nil, ""},
		{"lowest number", []group{g(2, "b"), g(1, "a")}, "a"},
		{"no precedence comes last", []group{g(-1, "b"), g(9, "a")}, "a"},
		{"tie of one role", []group{g(1, "a"), g(1, "a")}, "a"},
		{"tie of two roles", []group{g(1, "a"), g(1, "b")}, ""},
		{"tie behind the best", []group{g(2, "a"), g(2, "b"), g(1, "c")}, "c"},
		{"a group without a role does not count", []group{g(0, ""), g(1, "a")}, "a"},
		{"none has precedence", []group{g(-1, "a"), g(-1, "b")}, ""},
	} {
		if got := preferredRole(c.groups); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
