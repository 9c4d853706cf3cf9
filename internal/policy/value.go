package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func parseBool(s string) (value, ok bool) {
	switch {
	case foldEqual(s, "true"):
		return true, true
	case foldEqual(s, "false"):
		return false, true
	}
	return false, false
}

// decimal is an exact decimal number. whole has no leading and fraction no trailing zeros.
type decimal struct {
	negative        bool
	whole, fraction string
}

func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	var point bool
	d.whole, d.fraction, point = strings.Cut(s, ".")
	if !digits(d.whole) || point && !digits(d.fraction) {
		return decimal{}, false
	}
	d.whole = strings.TrimLeft(d.whole, "0")
	d.fraction = strings.TrimRight(d.fraction, "0")
	if d.whole == "" && d.fraction == "" {
		d.negative = false
	}
	return d, true
}

func (d decimal) compare(e decimal) int {
	if d.negative != e.negative {
		if d.negative {
			return -1
		}
		return 1
	}
	cmp := len(d.whole) - len(e.whole)
	if cmp == 0 {
		cmp = strings.Compare(d.whole, e.whole)
	}
	if cmp == 0 {
		cmp = strings.Compare(d.fraction, e.fraction)
	}
	if d.negative {
		return -cmp
	}
	return cmp
}

func digits(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// parseDate reads the W3C profile of ISO 8601 (YYYY, YYYY-MM, YYYY-MM-DD, and
// with Thh:mm, Thh:mm:ss, Thh:mm:ss.s and a zone Z, ±hh:mm or ±hh) or seconds
// since 1970. What is left out is the start of the period, in UTC.
func parseDate(s string) (time.Time, bool) {
	if len(s) != 4 && digits(strings.TrimPrefix(s, "-")) {
		seconds, err := strconv.ParseInt(s, 10, 64)
		return time.Unix(seconds, 0).UTC(), err == nil
	}
	r := dateReader{rest: s, ok: true}
	year, month, day := r.number(4, 4), 1, 1
	if r.skip('-') {
		month = r.number(2, 2)
		if r.skip('-') {
			day = r.number(2, 2)
		}
	}
	var hour, minute, second, nanos, offset int
	if len(s) > len("2006-01-02") && (r.skip('T') || r.skip('t')) {
		hour = r.number(1, 2)
		r.need(':')
		minute = r.number(2, 2)
		if r.skip(':') {
			second = r.number(2, 2)
			if r.skip('.') {
				nanos = r.fraction()
			}
		}
		offset = r.zone()
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if !r.ok || r.rest != "" || t.Month() != time.Month(month) || t.Day() != day || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	return t.Add(-time.Duration(offset) * time.Minute), true
}

type dateReader struct {
	rest string
	ok   bool
}

func (r *dateReader) skip(b byte) bool {
	if r.rest == "" || r.rest[0] != b {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *dateReader) need(b byte) { r.ok = r.skip(b) && r.ok }

func (r *dateReader) number(least, most int) int {
	n, i := 0, 0
	for i < most && i < len(r.rest) && '0' <= r.rest[i] && r.rest[i] <= '9' {
		n = 10*n + int(r.rest[i]-'0')
		i++
	}
	r.rest = r.rest[i:]
	r.ok = r.ok && i >= least
	return n
}

func (r *dateReader) fraction() int {
	before := len(r.rest)
	n := r.number(1, 9)
	for i := before - len(r.rest); i < 9; i++ {
		n *= 10
	}
	return n
}

// zone gives the offset from UTC in minutes.
func (r *dateReader) zone() int {
	if r.rest == "" || r.skip('Z') || r.skip('z') {
		return 0
	}
	sign := 1
	if r.skip('-') {
		sign = -1
	} else {
		r.need('+')
	}
	hours, minutes := r.number(2, 2), 0
	if r.skip(':') {
		minutes = r.number(2, 2)
	}
	r.ok = r.ok && hours < 24 && minutes < 60
	return sign * (60*hours + minutes)
}

// parsePrefix reads an address range, or one address. IPv4 written as IPv6 (::ffff:a.b.c.d) counts as IPv4.
func parsePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}
