package token

import (
	"fmt"
	"net/netip"
	"syscall"
)

// notPublic are the blocks of the IANA special-purpose address registries that netip's predicates do not cover.
var notPublic = func() (list []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}()

// global is the only block of IPv6 from which public addresses are given; it leaves out translation prefixes as well.
var global = netip.MustParsePrefix("2000::/3")

// public says whether an address is one of the open internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !global.Contains(a) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// guard decides about each address after name resolution, right before the connection is made, so that neither a name that
// points inside nor one that changes its mind leads to an internal service.
func guard(allowed []netip.Prefix, loopback, onlyLoopback bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		a := to.Addr().Unmap()
		if a.IsLoopback() && loopback {
			return nil
		}
		if onlyLoopback {
			return fmt.Errorf("token: http is for loopback addresses only, not for %s", a)
		}
		for _, p := range allowed {
			if p.Contains(a.WithZone("")) {
				return nil
			}
		}
		if !public(a) {
			return fmt.Errorf("token: %s is not a public address", a)
		}
		return nil
	}
}
