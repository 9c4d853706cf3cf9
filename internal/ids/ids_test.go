package ids

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestForms(t *testing.T) {
	const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
	for _, c := range []struct {
		name string
		make func() string
		form string
	}{
		{"Account", Account, `[1-9][0-9]{11}`},
		{"User", User, `AIDA[A-Z0-9]{17}`},
		{"Role", Role, `AROA[A-Z0-9]{17}`},
		{"Group", Group, `AGPA[A-Z0-9]{17}`},
		{"Policy", Policy, `ANPA[A-Z0-9]{17}`},
		{"AccessKey", func() string { return AccessKey("123456789012") }, `AKIA[A-Z2-7]{16}`},
		{"SessionKey", func() string { return SessionKey("123456789012") }, `ASIA[A-Z2-7]{16}`},
		{"SecretKey", SecretKey, `[A-Za-z0-9+/]{40}`},
		{"UserPool", func() string { return UserPool("eu-central-1") }, `eu-central-1_[A-Za-z0-9]{9}`},
		{"Client", Client, `[0-9a-v]{26}`},
		{"ClientSecret", ClientSecret, `[0-9a-v]{52}`},
		{"Sub", Sub, uuid},
		{"IdentityPool", func() string { return IdentityPool("us-east-1") }, `us-east-1:` + uuid},
		{"Identity", func() string { return Identity("us-east-1", time.UnixMilli(0x0123456789ab)) }, `us-east-1:01234567-89ab-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`},
		{"UUID", UUID, uuid},
		{"Row", func() string { return Row(time.Now()) }, `[0-9a-v]{26}`},
		{"Code", Code, `[0-9]{6}`},
		{"RecoveryCode", RecoveryCode, `([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			form := regexp.MustCompile(`^` + c.form + `$`)
			seen := map[string]bool{}
			for range 200 {
				id := c.make()
				if !form.MatchString(id) {
					t.Fatalf("%q does not match %s", id, form)
				}
				seen[id] = true
			}
			if len(seen) < 195 { // codes may collide: 200 of a million
				t.Errorf("%d different ids of 200", len(seen))
			}
		})
	}
}

func TestAccountOf(t *testing.T) {
	for _, account := range []string{"000000000000", "000000000001", "123456789012", "999999999999"} {
		for _, id := range []string{AccessKey(account), SessionKey(account)} {
			if got, ok := AccountOf(id); got != account || !ok {
				t.Errorf("AccountOf(%s) = %q, %v, want %s", id, got, ok, account)
			}
		}
	}
	for _, c := range []struct{ id, account string }{
		{"ASIAY34FZKBOKMUTVV7A", "609629065308"}, // an id made by AWS, and its account
		{"", ""},
		{"AKIA", ""},
		{"AKIAIOSFODNN7EXAMPLE", ""},            // older AWS ids carry no account
		{"AKIA7777777777777777", ""},            // number beyond 12 digits
		{"AKIAY34FZKBOKMUTVV71", ""},            // 1 is not base32
		{"AIDAY34FZKBOKMUTVV7A", ""},            // not an access key
		{"AKIAY34FZKBOKMUTVV7AA", ""},           // too long
		{"AKIA" + strings.Repeat("\n", 16), ""}, // the decoder skips line ends
		{"AKIAY34FZKBOKMUTVV\r\n", ""},          // so these must not pass as short ids
		{"AKIA\x00\x00\x00\x00AAAAAAAAAAAA", ""},
	} {
		if got, ok := AccountOf(c.id); got != c.account || ok != (c.account != "") {
			t.Errorf("AccountOf(%q) = %q, %v, want %q", c.id, got, ok, c.account)
		}
	}
}

func TestIdentityOrder(t *testing.T) {
	last := ""
	for ms := range int64(50) {
		id := Identity("us-east-1", time.UnixMilli(1_800_000_000_000+ms))
		if id <= last {
			t.Fatalf("%s of a later time sorts before %s", id, last)
		}
		last = id
	}
}

func FuzzAccountOf(f *testing.F) {
	f.Add("AKIAY34FZKBOKMUTVV7A")
	f.Fuzz(func(t *testing.T, id string) {
		account, ok := AccountOf(id)
		if !ok {
			return
		}
		again, ok := AccountOf(AccessKey(account))
		if !ok || again != account {
			t.Errorf("%q holds account %q, which does not survive a round trip: %q", id, account, again)
		}
	})
}

func TestRowsSortByTime(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	last := Row(now)
	for _, step := range []time.Duration{1, 30, 31, 32, 255, 256, time.Microsecond, time.Second, time.Hour, 50 * 365 * 24 * time.Hour} {
		now = now.Add(step)
		next := Row(now)
		if next <= last {
			t.Errorf("Row after %v: %s, not above %s", step, next, last)
		}
		last = next
	}
}

// TestPickIsUnbiased checks that each digit turns up about equally often; taking
// a byte modulo 10 without drawing again would miss the bound many times over.
func TestPickIsUnbiased(t *testing.T) {
	const n = 1_000_000
	count := map[rune]float64{}
	for _, r := range pick(digits, n) {
		count[r]++
	}
	sigma := math.Sqrt(n * 0.1 * 0.9)
	for _, r := range digits {
		if off := math.Abs(count[r] - n/10); off > 6*sigma {
			t.Errorf("digit %c is off by %.0f, bound %.0f", r, off, 6*sigma)
		}
	}
}

func BenchmarkUUID(b *testing.B) {
	for b.Loop() {
		UUID()
	}
}

func BenchmarkAccountOf(b *testing.B) {
	id := AccessKey("123456789012")
	for b.Loop() {
		AccountOf(id)
	}
}
