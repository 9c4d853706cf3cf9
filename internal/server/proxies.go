package server

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// parseProxies reads networks and addresses, comma separated.
func parseProxies(text string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, entry := range list(text) {
		network, err := netip.ParsePrefix(entry)
		if err != nil {
			address, e := netip.ParseAddr(entry)
			if e != nil {
				return nil, fmt.Errorf("--trusted-proxies %q: want networks or addresses", entry)
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// throughProxies returns the request as it was before the trusted proxies: whose connection it was, whether it was TLS and for
// which host, which is what policies and signatures are about. What others than those proxies say in the headers counts for
// nothing.
func throughProxies(r *http.Request, trusted []netip.Prefix) *http.Request {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !within(peer.Addr(), trusted) {
		return r
	}
	before := new(http.Request)
	*before = *r
	before.RemoteAddr = "" // unknown, if a proxy names what is no address
	if client, ok := forwardedFor(peer.Addr(), r.Header.Values("X-Forwarded-For"), trusted); ok {
		before.RemoteAddr = netip.AddrPortFrom(client, 0).String()
	}
	if proto := fields(r.Header.Values("X-Forwarded-Proto")); len(proto) > 0 {
		before.TLS = nil
		if !slices.ContainsFunc(proto, func(p string) bool { return !strings.EqualFold(p, "https") }) {
			before.TLS = &tls.ConnectionState{} // of which nothing more is known
		}
	}
	if host := fields(r.Header.Values("X-Forwarded-Host")); len(host) == 1 {
		before.Host = host[0]
	}
	return before
}

// forwardedFor is the hop nearest to us that is no trusted proxy, or else the farthest one.
func forwardedFor(client netip.Addr, headers []string, trusted []netip.Prefix) (_ netip.Addr, ok bool) {
	hops := fields(headers)
	for i := len(hops) - 1; i >= 0 && within(client, trusted); i-- {
		var err error
		if client, err = netip.ParseAddr(hops[i]); err != nil {
			withPort, err := netip.ParseAddrPort(hops[i])
			if err != nil {
				return client, false
			}
			client = withPort.Addr()
		}
	}
	return client.Unmap().WithZone(""), true
}

func within(a netip.Addr, networks []netip.Prefix) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// fields are the elements of a header that is a list.
func fields(headers []string) []string { return list(strings.Join(headers, ",")) }
