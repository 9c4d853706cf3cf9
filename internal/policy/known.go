package policy

import (
	"strings"

	"usher/internal/policy/catalog"
)

// knownKey reports whether a key, in lower case, is one that a request can have: a global one, one of a service, or one of
// a web identity provider. Templates such as aws:PrincipalTag/… are known with any name.
func knownKey(key string) bool {
	if _, ok := catalog.TypeOf(key); ok {
		return true
	}
	return providerKey(key)
}

// providerKey reports whether a key is a provider's host, with or without port and path, and a claim that the token of any
// provider may have (IAM User Guide, "Available keys for AWS OIDC federation").
func providerKey(key string) bool {
	colon := strings.LastIndexByte(key, ':')
	if colon < 0 {
		return false
	}
	switch key[colon+1:] {
	case "aud", "oaud", "sub", "amr", "email":
	default:
		return false
	}
	host, _, path := strings.Cut(key[:colon], "/")
	name, port, hasPort := strings.Cut(host, ":")
	if hasPort {
		return port != "" && strings.Trim(port, "0123456789") == ""
	}
	return path || name == "localhost" || strings.Contains(name, ".") // else it is the prefix of a service
}
