package iam

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/db"
	"usher/internal/policy"
)

// A trust policy names users and roles by ARN, but means who bears the ARN when it is saved: their unique ids are kept
// beside the document. A user or role that is deleted and made anew is not trusted again (IAM User Guide, "AWS JSON
// policy elements: Principal").

// resolveTrust checks the principals of a trust policy and returns the unique ids of the users and roles that it names.
func (s *Service) resolveTrust(ctx context.Context, q db.Querier, document string) (map[string]string, error) {
	ids := map[string]string{}
	_, err := mapPrincipals(document, func(kind, value string) (string, error) {
		id, ok, err := s.ResolvePrincipal(ctx, q, kind, value)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", iam.ErrMalformedPolicyDocument.Msg("Invalid principal in policy: %q:%q", strings.ToUpper(kind), value)
		}
		if id != "" {
			ids[value] = id
		}
		return value, nil
	})
	return ids, err
}

// ResolvePrincipal reports whether a principal may stand in a policy of a role or another resource, and the unique id of a
// user, role or role session. kind is AWS, Federated, Service or CanonicalUser.
func (s *Service) ResolvePrincipal(ctx context.Context, q db.Querier, kind, value string) (id string, ok bool, err error) {
	switch kind {
	case "Service":
		name, found := strings.CutSuffix(value, ".amazonaws.com")
		return "", found && name != "" && !strings.ContainsAny(name, "/:* "), nil
	case "Federated":
		if a, err := arn.Parse(value); err == nil {
			kind, name := a.Type()
			return "", a.Service == "iam" && isAccount(a.AccountID) && name != "" && (kind == "oidc-provider" || kind == "saml-provider"), nil
		}
		return "", builtinProviders[value], nil
	case "CanonicalUser":
		return "", false, nil
	}
	if value == "*" {
		return "", true, nil
	}
	if isAccount(value) {
		ok, err := s.accountExists(ctx, q, value)
		return "", ok, err
	}
	if strings.HasPrefix(value, "AIDA") || strings.HasPrefix(value, "AROA") {
		base, _, _ := strings.Cut(value, ":")
		_, err := s.entityByID(ctx, q, base)
		return "", err == nil, ignoreNotFound(err)
	}
	a, err := arn.Parse(value)
	if err != nil || a.Partition != "aws" || a.Region != "" || !isAccount(a.AccountID) {
		return "", false, nil
	}
	part, name := a.Type()
	switch {
	case a.Service == "iam" && a.Resource == "root":
		ok, err := s.accountExists(ctx, q, a.AccountID)
		return "", ok, err
	case a.Service == "iam" && (part == userKind || part == roleKind):
		e, err := s.entityByARN(ctx, q, value)
		if err != nil {
			return "", false, ignoreNotFound(err)
		}
		return e.ID, true, nil
	case a.Service == "sts" && part == "assumed-role":
		role, session, found := strings.Cut(name, "/")
		if !found || session == "" || strings.ContainsAny(session, "/*?") {
			return "", false, nil
		}
		e, err := s.findEntity(ctx, q, a.AccountID, roleKind, role)
		if err != nil || e.Name != role {
			return "", false, ignoreNotFound(err)
		}
		return e.ID + ":" + session, true, nil
	case a.Service == "sts" && part == "federated-user":
		ok, err := s.accountExists(ctx, q, a.AccountID)
		return "", ok && name != "" && !strings.ContainsAny(name, "/*?"), err
	}
	return "", false, nil
}

// builtinProviders are the web identity providers that need no OIDC provider in the account.
var builtinProviders = map[string]bool{
	"cognito-identity.amazonaws.com": true,
	"accounts.google.com":            true,
	"graph.facebook.com":             true,
	"www.amazon.com":                 true,
}

func ignoreNotFound(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	return err
}

// compileTrust parses a trust policy with unique ids in the place of ARNs.
func compileTrust(document string, ids map[string]string) (*policy.Policy, error) {
	text, err := mapPrincipals(document, func(kind, value string) (string, error) {
		if id, ok := ids[value]; ok && kind == "AWS" {
			return id, nil
		}
		return value, nil
	})
	if err != nil {
		return nil, err
	}
	return policy.Parse(text)
}

// showTrust is a trust policy as it is read: with the ARN that a user or role has now, or the unique id of one that was
// deleted.
func (s *Service) showTrust(ctx context.Context, q db.Querier, document string, ids map[string]string) (string, error) {
	if len(ids) == 0 {
		return document, nil
	}
	return mapPrincipals(document, func(kind, value string) (string, error) {
		id, ok := ids[value]
		if !ok || kind != "AWS" {
			return value, nil
		}
		name, err := s.PrincipalARN(ctx, q, id)
		if name == "" {
			name = id
		}
		return name, err
	})
}

// PrincipalARN is the ARN that the bearer of a unique id has now, or the role session of an id "AROA…:session"; "" if there is
// none any more.
func (s *Service) PrincipalARN(ctx context.Context, q db.Querier, id string) (string, error) {
	base, session, _ := strings.Cut(id, ":")
	e, err := s.entityByID(ctx, q, base)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case session != "":
		return "arn:aws:sts::" + e.AccountID + ":assumed-role/" + e.Name + "/" + session, nil
	}
	return e.ARN(), nil
}

// mapPrincipals calls change for every value of every Principal of a policy document and returns the document with the
// values that change returned, all else as it was, byte for byte.
func mapPrincipals(document string, change func(kind, value string) (string, error)) (string, error) {
	m := principalMapper{text: document, dec: json.NewDecoder(strings.NewReader(document)), change: change}
	m.dec.UseNumber()
	if err := m.value(nil); err != nil {
		return "", err
	}
	m.out.WriteString(document[m.copied:])
	return m.out.String(), nil
}

type principalMapper struct {
	text   string
	dec    *json.Decoder
	change func(kind, value string) (string, error)
	out    strings.Builder
	copied int // how much of text is in out
}

// value reads one value. path names the members that lead to it; arrays do not count.
func (m *principalMapper) value(path []string) error {
	start := int(m.dec.InputOffset())
	for start < len(m.text) && strings.IndexByte(" \t\r\n,:", m.text[start]) >= 0 {
		start++
	}
	token, err := m.dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		for m.dec.More() {
			inner := path
			if token == '{' {
				name, err := m.dec.Token()
				if err != nil {
					return err
				}
				inner = append(path, name.(string))
			}
			if err := m.value(inner); err != nil {
				return err
			}
		}
		_, err := m.dec.Token()
		return err
	case string:
		kind := ""
		switch {
		case len(path) < 2 || path[0] != "Statement" || path[1] != "Principal":
			return nil
		case len(path) == 2:
			kind = "AWS"
		case len(path) == 3:
			kind = path[2]
		default:
			return nil
		}
		changed, err := m.change(kind, token)
		if err != nil || changed == token {
			return err
		}
		quoted, err := json.Marshal(changed)
		if err != nil {
			return err
		}
		m.out.WriteString(m.text[m.copied:start])
		m.out.Write(quoted)
		m.copied = int(m.dec.InputOffset())
	}
	return nil
}

func isAccount(id string) bool {
	return len(id) == 12 && strings.Trim(id, "0123456789") == ""
}
