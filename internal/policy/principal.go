package policy

import "strings"

// PrincipalKind says what sort of caller makes a request.
type PrincipalKind uint8

const (
	Anonymous     PrincipalKind = iota // unsigned request
	Root                               // the root user of an account
	User                               // IAM user, also with GetSessionToken credentials
	RoleSession                        // any AssumeRole* session
	FederatedUser                      // GetFederationToken session
	Federated                          // external identity in AssumeRoleWithWebIdentity or AssumeRoleWithSAML
	Service                            // a service acting for itself
)

// Principal is the caller of a request.
type Principal struct {
	Kind PrincipalKind

	// AccountID is the caller's account; empty for Anonymous, Federated and Service.
	AccountID string

	// ARN names the caller: the ARN of the root user, user, role session
	// (arn:aws:sts::A:assumed-role/Role/Session) or federated user; for Federated
	// the provider (its ARN, or a built-in name such as cognito-identity.amazonaws.com);
	// for Service its name (sns.amazonaws.com); empty for Anonymous.
	ARN string

	// ParentARN is the role of a RoleSession, with its path, or the user who created a FederatedUser.
	ParentARN string

	// ID is the unique id (AIDA…, AROA…) of the user, or of the role or user behind the session.
	ID string

	// SessionName of a RoleSession.
	SessionName string

	// CanonicalID is the S3 canonical id of the caller's account.
	CanonicalID string
}

// Display names the caller in denial messages.
func (p *Principal) Display() string {
	if p.ARN == "" {
		return "anonymous"
	}
	return p.ARN
}

// inAccount reports whether the caller acts for an account, whose policies then apply to him.
func (p *Principal) inAccount() bool {
	switch p.Kind {
	case Root, User, RoleSession, FederatedUser:
		return p.AccountID != ""
	}
	return false
}

// PrincipalFromARN reads the name of a caller, for simulations and tests:
// any ARN that Principal.ARN describes, a federation provider, a service name,
// or "anonymous". The role of a session is taken to have no path.
func PrincipalFromARN(name string) Principal {
	switch name {
	case "", "anonymous", "*":
		return Principal{}
	case "cognito-identity.amazonaws.com", "accounts.google.com", "graph.facebook.com", "www.amazon.com":
		return Principal{Kind: Federated, ARN: name}
	}
	seg, ok := splitARN(name)
	if !ok {
		return Principal{Kind: Service, ARN: name}
	}
	p := Principal{AccountID: seg[4], ARN: name}
	kind, rest, _ := strings.Cut(seg[5], "/")
	switch kind {
	case "root":
		p.Kind = Root
	case "user":
		p.Kind = User
	case "role": // a role as such: one of its sessions
		p.Kind, p.ParentARN = RoleSession, name
	case "assumed-role":
		p.Kind = RoleSession
		role, session, _ := strings.Cut(rest, "/")
		p.ParentARN = "arn:" + seg[1] + ":iam::" + seg[4] + ":role/" + role
		p.SessionName = session
	case "federated-user":
		p.Kind = FederatedUser
	default:
		p.Kind, p.AccountID = Federated, ""
	}
	return p
}

type principalShape uint8

const (
	invalidPrincipal principalShape = iota // matches nobody
	everyone
	accountPrincipal
	userPrincipal
	rolePrincipal
	sessionPrincipal
	uniqueID        // AIDA…, AROA…
	uniqueIDSession // AROA…:session
	federatedPrincipal
	servicePrincipal
	canonicalUser
)

// principalPattern is one entry of Principal or NotPrincipal. There are no
// wildcards in it except "*" alone.
type principalPattern struct {
	PrincipalValue
	at    int
	end   int
	shape principalShape
	value string // what to compare with
}

func compilePrincipal(kind string, n *node) principalPattern {
	p := principalPattern{PrincipalValue: PrincipalValue{kind, n.text}, at: n.start, end: n.end, value: n.text}
	p.shape = p.classify()
	return p
}

func (p *principalPattern) classify() principalShape {
	if p.Type == "AWS" && p.Value == "*" {
		return everyone
	}
	if p.Value == "" || strings.ContainsAny(p.Value, "*?") {
		return invalidPrincipal
	}
	switch p.Type {
	case "Federated":
		return federatedPrincipal
	case "Service":
		return servicePrincipal
	case "CanonicalUser":
		return canonicalUser
	}
	if isAccount(p.Value) {
		return accountPrincipal
	}
	if strings.HasPrefix(p.Value, "AIDA") || strings.HasPrefix(p.Value, "AROA") {
		if strings.Contains(p.Value, ":") {
			return uniqueIDSession
		}
		return uniqueID
	}
	seg, ok := splitARN(p.Value)
	if !ok || seg[0] != "arn" || seg[1] == "" || seg[3] != "" || !isAccount(seg[4]) {
		return invalidPrincipal
	}
	kind, name, _ := strings.Cut(seg[5], "/")
	switch {
	case seg[2] == "iam" && seg[5] == "root":
		p.value = seg[4]
		return accountPrincipal
	case name == "":
		return invalidPrincipal
	case seg[2] == "iam" && kind == "user":
		return userPrincipal
	case seg[2] == "iam" && kind == "role":
		return rolePrincipal
	case seg[2] == "sts" && (kind == "assumed-role" && strings.Contains(name, "/") || kind == "federated-user"):
		return sessionPrincipal
	}
	return invalidPrincipal
}

func isAccount(s string) bool { return len(s) == 12 && digits(s) }

// grant is a set of the ways in which a resource policy names a caller. What a
// grant is worth depends on the way, see Decide.
type grant uint8

const (
	toSession  grant = 1 << iota // this very session, or every authenticated caller
	toUser                       // an IAM user
	toRole                       // a role
	toAccount                    // the whole account: delegation to its administrators
	toPublic                     // everyone, anonymous callers included
	toExternal                   // a federated identity or a service
)

// match gives the grants that the entry means for the caller, 0 if it does not name him.
func (p *principalPattern) match(who *Principal) grant {
	switch p.shape {
	case everyone:
		switch who.Kind {
		case Anonymous:
			return toPublic
		case Federated, Service:
			return toExternal
		}
		return toSession
	case accountPrincipal:
		if who.AccountID != "" && who.AccountID == p.value {
			return toAccount
		}
	case userPrincipal:
		if who.Kind == User && who.ARN == p.value || who.Kind == FederatedUser && who.ParentARN == p.value {
			return toUser
		}
	case rolePrincipal:
		if who.Kind == RoleSession && who.ParentARN == p.value {
			return toRole
		}
	case sessionPrincipal:
		if (who.Kind == RoleSession || who.Kind == FederatedUser) && who.ARN == p.value {
			return toSession
		}
	case uniqueID:
		if who.ID == p.value {
			switch who.Kind {
			case User, FederatedUser:
				return toUser
			case RoleSession:
				return toRole
			}
		}
	case uniqueIDSession:
		id, session, _ := strings.Cut(p.value, ":")
		if who.Kind == RoleSession && who.ID == id && who.SessionName == session {
			return toSession
		}
	case federatedPrincipal:
		if who.Kind == Federated && who.ARN == p.value {
			return toExternal
		}
	case servicePrincipal:
		if who.Kind == Service && who.ARN == p.value {
			return toExternal
		}
	case canonicalUser:
		if who.CanonicalID != "" && who.CanonicalID == p.value {
			return toAccount
		}
	}
	return 0
}

// namesCaller applies the statement's Principal or NotPrincipal to the caller.
// NotPrincipal exempts nobody who has a permissions boundary (IAM User Guide,
// "Permissions boundaries for IAM entities").
func (s *Statement) namesCaller(who *Principal, bounded bool) grant {
	var found grant
	for i := range s.principals {
		found |= s.principals[i].match(who)
	}
	if !s.notPrincipal {
		return found
	}
	if s.Effect == Allow || !bounded && s.exempts(who) {
		return 0
	}
	return toSession
}

// namesProvider is namesCaller without "*": everyone does not mean everyone
// whom any identity provider knows.
func (s *Statement) namesProvider(who *Principal) grant {
	for i := range s.principals {
		if s.principals[i].shape == federatedPrincipal && !s.notPrincipal && s.principals[i].match(who) != 0 {
			return toExternal
		}
	}
	return 0
}

// exempts reports whether NotPrincipal lists every identity of the caller: his
// account, the user or role, and the session.
func (s *Statement) exempts(who *Principal) bool {
	var needed, listed grant
	switch who.Kind {
	case Anonymous:
		needed = toPublic
	case Root:
		needed = toAccount
	case User:
		needed = toAccount | toUser
	case RoleSession:
		needed = toAccount | toRole | toSession
	case FederatedUser:
		needed = toAccount | toUser | toSession
	case Federated, Service:
		needed = toExternal
	}
	for i := range s.principals {
		if s.principals[i].shape == everyone {
			return true
		}
		listed |= s.principals[i].match(who)
	}
	return listed&needed == needed
}
