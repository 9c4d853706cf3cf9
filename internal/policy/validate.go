package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Kind says what a document is to be used as. It selects the rules and the
// wording of Validate.
type Kind uint8

const (
	KindManaged  Kind = iota // customer managed policy, also used as permissions boundary
	KindInline               // inline policy of a user, group or role
	KindSession              // Policy parameter of an STS operation
	KindSCP                  // service control policy
	KindTrust                // AssumeRolePolicyDocument
	KindBucket               // S3 bucket policy
	KindResource             // policy of another resource: topic, queue, function, table
	KindRCP                  // resource control policy
)

// Sizes that AWS allows, in characters without white space (see Size); bucket policies count all bytes.
const (
	MaxManagedPolicy = 6144
	MaxTrustPolicy   = 2048
	MaxSessionPolicy = 2048
	MaxUserInline    = 2048  // sum over the user
	MaxGroupInline   = 5120  // sum over the group
	MaxRoleInline    = 10240 // sum over the role
	MaxBucketPolicy  = 20480
)

// Malformed says why a document is not accepted, in AWS's words. IAM and STS
// report it as MalformedPolicyDocument, S3 as MalformedPolicy, both with status 400.
type Malformed struct {
	Message string
	Offset  int // byte offset of the fault in the text

	fault  fault
	detail string
}

func (m *Malformed) Error() string { return m.Message }

// TooLarge is a document beyond its quota; IAM reports it as LimitExceeded, 409.
type TooLarge struct {
	Message string
	Limit   int
}

func (t *TooLarge) Error() string { return t.Message }

// Rules holds what a server may change about validation. The zero Rules are AWS's.
type Rules struct {
	// TrustPolicySize is the quota for trust policies; 0 is MaxTrustPolicy.
	TrustPolicySize int
	// SharedIssuers lists OIDC issuers that serve many tenants, with the claims
	// of which a trust policy must pin at least one. nil is SharedIssuers.
	SharedIssuers map[string][]string
	// Bucket is the bucket that a KindBucket policy is for; if set, all resources must lie in it.
	Bucket string
}

// SharedIssuers are OIDC issuers that serve many tenants or applications, each
// with the claims that tell them apart (IAM User Guide, "Identity-provider
// controls for shared OIDC providers").
var SharedIssuers = map[string][]string{
	"token.actions.githubusercontent.com":                {"sub", "job_workflow_ref", "repository", "repository_id", "repository_owner_id", "enterprise_id"},
	"vstoken.actions.githubusercontent.com":              {"sub"},
	"oidc-configuration.audit-log.githubusercontent.com": {"sub"},
	"gitlab.com":              {"sub", "namespace_id", "project_id"},
	"app.terraform.io":        {"sub"},
	"agent.buildkite.com":     {"sub"},
	"oidc.codefresh.io":       {"sub"},
	"oidc.vercel.com":         {"sub", "aud"},
	"api.pulumi.com/oidc":     {"sub", "aud"},
	"scalr.io":                {"sub"},
	"studio.datachain.ai/api": {"sub"},
	"proidc.upbound.io":       {"sub"},
	"tokens.cloud.shisho.dev": {"sub"},
	"sandboxes.cloud":         {"sub", "aud"},
	"accounts.google.com":     {"aud", "oaud", "sub"},
	"graph.facebook.com":      {"app_id", "id"},
	"www.amazon.com":          {"app_id", "user_id"},
}

// Validate checks a document that is about to be saved. The error is *Malformed or *TooLarge.
func Validate(text string, kind Kind) error { return Rules{}.Validate(text, kind) }

// Validate checks a document that is about to be saved, by these rules.
func (r Rules) Validate(text string, kind Kind) error {
	var bad *Malformed
	p, fault := read(text)
	switch kind {
	case KindTrust:
		if bad = fault.forTrust(); bad == nil {
			bad = r.validateTrust(p)
		}
	case KindBucket, KindResource, KindRCP:
		if bad = fault.forResource(); bad == nil {
			bad = r.validateResource(p, kind)
		}
	default:
		if bad = fault; bad == nil {
			bad = validateIdentity(p, kind)
		}
	}
	if bad != nil {
		return bad
	}
	if large := r.checkSize(text, kind); large != nil {
		return large
	}
	return nil
}

// Size counts the characters of a document as the quotas do: without white space.
func Size(text string) int {
	n := 0
	for _, c := range text {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			n++
		}
	}
	return n
}

func (r Rules) checkSize(text string, kind Kind) *TooLarge {
	limit := map[Kind]int{KindManaged: MaxManagedPolicy, KindSession: MaxSessionPolicy, KindTrust: MaxTrustPolicy}[kind]
	if kind == KindTrust && r.TrustPolicySize > 0 {
		limit = r.TrustPolicySize
	}
	switch {
	case kind == KindBucket:
		if len(text) > MaxBucketPolicy {
			return &TooLarge{"Policy exceeds the maximum allowed document size.", MaxBucketPolicy}
		}
	case limit == 0 || Size(text) <= limit:
	case kind == KindTrust:
		return &TooLarge{"Cannot exceed quota for ACLSizePerRole: " + strconv.Itoa(limit), limit}
	default:
		return &TooLarge{"Cannot exceed quota for PolicySize: " + strconv.Itoa(limit), limit}
	}
	return nil
}

const (
	syntaxErrors  = "Syntax errors in policy."
	legacyParsing = "The policy failed legacy parsing"
)

func refuse(offset int, format string, args ...any) *Malformed {
	return &Malformed{Message: fmt.Sprintf(format, args...), Offset: offset}
}

// validateIdentity checks a policy that goes with a caller. The order of the
// checks decides which of several faults is reported, and is AWS's.
func validateIdentity(p *Policy, kind Kind) *Malformed {
	if bad := p.checkSyntax(syntaxErrors); bad != nil {
		return bad
	}
	if kind == KindManaged && p.version != version2012 {
		return refuse(0, "Policy document must be version 2012-10-17 or greater.")
	}
	if bad := p.checkLegacy(); bad != nil {
		return bad
	}
	sids := map[string]bool{}
	for i := range p.statements {
		st := &p.statements[i]
		if strings.Trim(st.Sid, alphanumeric) != "" {
			return refuse(st.Start, "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		}
		if st.Sid != "" && sids[st.Sid] {
			return refuse(st.Start, "Statement IDs (SID) in a single policy must be unique.")
		}
		sids[st.Sid] = true
	}
	for i := range p.statements {
		if st := &p.statements[i]; st.hasPrincipal {
			return refuse(st.Start, "Policy document should not specify a principal.")
		}
	}
	for i := range p.statements {
		if st := &p.statements[i]; len(st.actions) == 0 {
			return refuse(st.Start, "Policy statement must contain actions.")
		}
	}
	for i := range p.statements {
		for _, res := range p.statements[i].resources {
			if message, _ := resourceFault(res.text); message != "" {
				return refuse(res.at, "%s", message)
			}
		}
	}
	for i := range p.statements {
		for _, a := range p.statements[i].actions {
			if message := actionFault(a.text); message != "" {
				return refuse(a.at, "%s", message)
			}
		}
	}
	for i := range p.statements {
		if st := &p.statements[i]; len(st.resources) == 0 {
			return refuse(st.Start, "Policy statement must contain resources.")
		}
	}
	return nil
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// checkSyntax finds what the grammar forbids and Parse lets pass.
func (p *Policy) checkSyntax(message string) *Malformed {
	for i, c := range p.text {
		if c > 0xFF || c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return refuse(i, "%s", message)
		}
	}
	for i := range p.statements {
		st := &p.statements[i]
		for j := range st.resources {
			if st.resources[j].broken {
				return refuse(st.resources[j].at, "%s", message)
			}
		}
		for j := range st.conditions {
			c := &st.conditions[j]
			if c.op.class == unknownOperator || len(c.values) == 0 {
				return refuse(c.at, "%s", message)
			}
			for k := range c.values {
				v := &c.values[k]
				textual := c.op.class == stringEquals || c.op.class == stringFold || c.op.class == stringLike || c.op.class == arnLike
				if _, broken := tokenize(v.text, false, p.version == version2012 && textual); broken {
					return refuse(v.at, "%s", message)
				}
				if v.broken && (c.op.class == boolean || c.op.class == null) {
					return refuse(v.at, "%s", message)
				}
			}
		}
	}
	return nil
}

// checkLegacy finds the faults that AWS reports as legacy parsing: effects in
// the wrong case, ARNs with too few parts, and values that are no date, number, address or base64.
func (p *Policy) checkLegacy() *Malformed {
	if p.badEffect != nil {
		return refuse(p.badEffect.start, legacyParsing)
	}
	for i := range p.statements {
		st := &p.statements[i]
		for _, res := range st.resources {
			if _, legacy := resourceFault(res.text); legacy {
				return refuse(res.at, legacyParsing)
			}
		}
		for j := range st.conditions {
			for _, v := range st.conditions[j].values {
				if v.broken {
					return refuse(v.at, legacyParsing)
				}
			}
		}
	}
	return nil
}

var partitions = []string{"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"}

var iamPaths = []string{"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/",
	"policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/"}

// resourceFault says what is wrong with a Resource entry: a message of its own, or the legacy one.
func resourceFault(text string) (message string, legacy bool) {
	if text == "*" {
		return "", false
	}
	part := strings.SplitN(text, ":", 6)
	if len(part) == 1 {
		return "Resource " + text + ` must be in ARN format or "*".`, false
	}
	if partition := part[1]; !slices.Contains(partitions, partition) && !strings.Contains(partition, "*") {
		padded := "arn:" + strings.Join(part[1:], ":") + strings.Repeat(":*", 6-len(part))
		return fmt.Sprintf("Partition \"%s\" is not valid for resource \"%s\".", partition, padded), false
	}
	if part[0] != "arn" {
		return "Resource " + text + ` must be in ARN format or "*".`, false
	}
	if len(part) == 2 {
		return "Resource vendor must be fully qualified and cannot contain regexes.", false
	}
	service := part[2]
	if service == "" || len(part) < 6 && !strings.HasSuffix(text, "*") {
		return "", true
	}
	if strings.ContainsAny(service, "*?") {
		return "Resource vendor must be fully qualified and cannot contain regexes.", false
	}
	if len(part) < 6 {
		return "", false
	}
	region, account, resource := part[3], part[4], part[5]
	switch {
	case service == "s3" && region != "" && account == "":
		return "Resource " + text + " can not contain region information.", false
	case service == "iam" && region != "":
		return "IAM resource " + text + " cannot contain region information.", false
	case service == "iam" && !strings.HasPrefix(resource, "*") && resource != "root" && !strings.HasPrefix(resource, "delegation-request/") && !slices.ContainsFunc(iamPaths, func(start string) bool {
		return strings.HasPrefix(resource, start)
	}):
		return `IAM resource path must either be "*" or start with ` + strings.Join(iamPaths, ", ") + ".", false
	}
	return "", false
}

func actionFault(text string) string {
	if text == "*" {
		return ""
	}
	vendor, name, found := strings.Cut(text, ":")
	switch {
	case !found:
		return "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	case strings.Contains(name, ":"):
		return "Actions/Condition can contain only one colon."
	case vendor == "" || strings.Trim(vendor, alphanumeric+"-.") != "":
		return "Vendor " + vendor + " is not valid"
	}
	return ""
}

// forTrust puts a fault of reading into the words of trust policies.
func (m *Malformed) forTrust() *Malformed {
	if m == nil {
		return nil
	}
	out := *m
	switch m.fault {
	case notJSON:
		out.Message = "This policy contains invalid Json"
	case noStatement:
		out.Message = "Could not parse the policy: Statement is empty!"
	case noEffect:
		out.Message = "Missing required field Effect"
	case unknownField:
		out.Message = "Unknown field " + m.detail
	case badPrincipal:
		out.Message = "Principal must be a JSON object."
	}
	return &out
}

// validateTrust checks the trust policy of a role.
func (r Rules) validateTrust(p *Policy) *Malformed {
	if p.badEffect != nil {
		return refuse(p.badEffect.start, syntaxErrors)
	}
	sids := map[string]bool{}
	for i := range p.statements {
		st := &p.statements[i]
		switch {
		case st.hasResource && st.notResource:
			return refuse(st.Start, "Has prohibited field NotResource")
		case st.hasResource:
			return refuse(st.Start, "Has prohibited field Resource")
		case st.notPrincipal:
			return refuse(st.Start, "AssumeRole policy must not contain NotPrincipal field.")
		case len(st.principals) == 0:
			return refuse(st.Start, "Missing required field Principal")
		case len(st.actions) == 0:
			return refuse(st.Start, "Missing required field Action")
		case st.Sid != "" && sids[st.Sid]:
			return refuse(st.Start, "The Statement Ids in the policy are not unique")
		}
		sids[st.Sid] = true
		for j := range st.principals {
			if pr := &st.principals[j]; !pr.validInTrust() {
				return InvalidPrincipal(pr.Type, pr.Value, pr.at)
			}
		}
		for _, a := range st.actions {
			if !trustAction(a.lower) {
				return refuse(a.at, "AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
		if bad := r.checkFederated(st); bad != nil {
			return bad
		}
	}
	if bad := p.checkSyntax(syntaxErrors); bad != nil {
		return bad
	}
	return p.checkLegacy()
}

// InvalidPrincipal is the refusal of a principal that does not exist or cannot be one.
func InvalidPrincipal(kind, value string, offset int) *Malformed {
	if kind != "AWS" {
		kind = strings.ToUpper(kind)
	}
	return refuse(offset, "Invalid principal in policy: \"%s\":\"%s\"", kind, value)
}

func (p *principalPattern) validInTrust() bool {
	switch p.shape {
	case invalidPrincipal, canonicalUser:
		return false
	case federatedPrincipal:
		if seg, ok := splitARN(p.Value); ok {
			return seg[2] == "iam" && isAccount(seg[4]) &&
				(strings.HasPrefix(seg[5], "oidc-provider/") || strings.HasPrefix(seg[5], "saml-provider/"))
		}
		return PrincipalFromARN(p.Value).Kind == Federated
	case servicePrincipal:
		return validService(p.Value)
	}
	return true
}

func validService(name string) bool {
	return strings.Contains(name, ".") && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}

var trustActions = []string{"sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml", "sts:tagsession",
	"sts:setsourceidentity", "sts:setcontext"}

func trustAction(lower string) bool {
	if !strings.HasPrefix(lower, "sts:") {
		return false
	}
	return slices.ContainsFunc(trustActions, func(action string) bool { return foldGlob(lower, action) })
}

// checkFederated makes sure that a statement which trusts an external issuer
// trusts one tenant of it and not all.
func (r Rules) checkFederated(st *Statement) *Malformed {
	issuers := r.SharedIssuers
	if issuers == nil {
		issuers = SharedIssuers
	}
	for _, pr := range st.principals {
		if st.Effect != Allow || pr.Type != "Federated" {
			continue
		}
		if pr.Value == "cognito-identity.amazonaws.com" {
			if !st.pins("cognito-identity.amazonaws.com:aud") {
				return refuse(pr.at, "A condition block must be present for the Cognito provider")
			}
			continue
		}
		issuer := pr.Value
		if _, name, ok := strings.Cut(pr.Value, ":oidc-provider/"); ok {
			issuer = name
		}
		shared := ""
		for name := range issuers {
			if issuer == name || strings.HasPrefix(issuer, name+"/") {
				shared = name
			}
		}
		if shared == "" {
			continue
		}
		var keys []string
		for _, claim := range issuers[shared] {
			keys = append(keys, issuer+":"+claim)
		}
		if !slices.ContainsFunc(keys, st.pins) {
			bad := refuse(pr.at, "The trust policy must restrict the shared OIDC provider %s by a condition on one of %s", issuer, strings.Join(keys, ", "))
			if slices.ContainsFunc(st.conditions, func(c condition) bool {
				return c.op.class == stringLike && !c.op.negated && slices.Contains(keys, c.name)
			}) {
				bad.Message += "; a pattern must begin with what names you there, such as repo:OWNER/"
			}
			return bad
		}
	}
	return nil
}

// pins reports whether the statement requires the key to have one of some
// values: a positive string operator, without IfExists, and values that each
// name something.
func (s *Statement) pins(key string) bool {
	key = lowerKey(key)
	for i := range s.conditions {
		c := &s.conditions[i]
		if c.key != key || c.op.negated || c.ifExists || c.set == forAllValues || len(c.values) == 0 {
			continue
		}
		if c.op.class != stringEquals && c.op.class != stringFold && c.op.class != stringLike {
			continue
		}
		if !slices.ContainsFunc(c.values, func(v conditionValue) bool { return !v.names(strings.HasSuffix(key, ":sub")) }) {
			return true
		}
	}
	return false
}

// names reports whether a value means more than anybody. A pattern must begin
// with a name, since what is at the end tenants choose themselves; in a subject
// the word before the first colon is the same for all (repo:, organization:,
// project_path:), so the name comes after it.
func (v *conditionValue) names(subject bool) bool {
	if v.plain {
		return v.literal() != ""
	}
	if v.tokens[0].kind != literal {
		return false
	}
	name := v.tokens[0].text
	if !subject {
		return true
	}
	if _, after, ok := strings.Cut(name, ":"); ok {
		return after != ""
	}
	return strings.Contains(name, "/")
}

// forResource puts a fault of reading into the words of S3.
func (m *Malformed) forResource() *Malformed {
	if m == nil {
		return nil
	}
	out := *m
	switch m.fault {
	case notJSON:
		out.Message = "Policies must be valid JSON and the first byte must be '{'"
	case noStatement:
		out.Message = "Missing required field Statement"
	case noEffect:
		out.Message = "Missing required field Effect"
	case badEffect:
		out.Message = "Invalid effect: " + m.detail
	case unknownField:
		out.Message = "Unknown field " + m.detail
	case badPrincipal:
		out.Message = "Invalid principal in policy"
	default:
		out.Message = "Invalid policy syntax."
	}
	return &out
}

// validateResource checks a policy that goes with a resource.
func (r Rules) validateResource(p *Policy, kind Kind) *Malformed {
	if p.badEffect != nil {
		return refuse(p.badEffect.start, "Invalid effect: %s", p.badEffect.text)
	}
	sids := map[string]bool{}
	for i := range p.statements {
		st := &p.statements[i]
		switch {
		case !st.hasPrincipal || len(st.principals) == 0:
			return refuse(st.Start, "Missing required field Principal")
		case len(st.actions) == 0:
			return refuse(st.Start, "Missing required field Action")
		case len(st.resources) == 0:
			return refuse(st.Start, "Missing required field Resource")
		case st.notPrincipal && st.Effect == Allow:
			return refuse(st.Start, "Allow with NotPrincipal is not allowed.")
		case st.Sid != "" && sids[st.Sid]:
			return refuse(st.Start, "The Statement Ids in the policy are not unique")
		}
		sids[st.Sid] = true
		for j := range st.principals {
			pr := &st.principals[j]
			if pr.shape == invalidPrincipal || pr.shape == servicePrincipal && !validService(pr.Value) || pr.shape == canonicalUser && kind != KindBucket {
				return refuse(pr.at, "Invalid principal in policy")
			}
		}
		for j := range st.conditions {
			c := &st.conditions[j]
			if c.op.class == unknownOperator {
				return refuse(c.at, "Invalid Condition type : %s", c.operator)
			}
			if !strings.Contains(c.name, ":") || kind == KindBucket && c.unknown {
				return refuse(c.at, "Policy has an invalid condition key")
			}
		}
		for _, a := range st.actions {
			if actionFault(a.text) != "" || kind == KindBucket && !a.all && !strings.HasPrefix(a.lower, "s3:") {
				return refuse(a.at, "Policy has invalid action")
			}
		}
		for _, res := range st.resources {
			message, legacy := resourceFault(res.text)
			if legacy || message != "" || kind == KindBucket && !res.inBucket(r.Bucket) {
				return refuse(res.at, "Policy has invalid resource")
			}
		}
		if kind == KindBucket && !st.actionsFitResources() {
			return refuse(st.Start, "Action does not apply to any resource(s) in statement")
		}
	}
	if bad := p.checkSyntax("Invalid policy syntax."); bad != nil {
		return bad
	}
	if bad := p.checkLegacy(); bad != nil {
		return refuse(bad.Offset, "Invalid policy syntax.")
	}
	return nil
}

// inBucket reports whether the pattern is an S3 resource and, if a bucket is given, cannot reach outside of it.
func (r *resourcePattern) inBucket(bucket string) bool {
	if r.all {
		return true
	}
	seg, ok := splitARN(r.text)
	if !ok || seg[2] != "s3" {
		return false
	}
	name, _, _ := strings.Cut(seg[5], "/")
	return bucket == "" || strings.TrimRight(name, "*") == bucket
}

// objectActions are the S3 actions on objects whose names do not say so.
var objectActions = []string{"s3:abortmultipartupload", "s3:listmultipartuploadparts", "s3:bypassgovernanceretention",
	"s3:replicateobject", "s3:replicatedelete", "s3:replicatetags", "s3:initiatereplication"}

// actionsFitResources reports whether each S3 action spelled out in full has a
// resource of its type: an object for object actions, a bucket for bucket actions.
func (s *Statement) actionsFitResources() bool {
	if s.notAction || s.notResource {
		return true
	}
	var buckets, objects bool
	for i := range s.resources {
		r := &s.resources[i]
		seg, _ := splitARN(r.text)
		name, _, slash := strings.Cut(seg[5], "/")
		wild := r.all || strings.ContainsAny(name, "*?")
		buckets = buckets || wild || !slash
		objects = objects || wild || slash
	}
	for i := range s.actions {
		a := &s.actions[i]
		name := strings.TrimPrefix(a.lower, "s3:")
		onBucket := strings.Contains(name, "bucket") || strings.HasSuffix(name, "configuration")
		onObject := slices.Contains(objectActions, a.lower) || strings.Contains(name, "object") && !onBucket
		if a.exact && (onObject && !objects || onBucket && !onObject && !buckets) {
			return false
		}
	}
	return true
}

// ReplacePrincipals rewrites the principals of a document: f is called for
// each entry (kind is AWS, Federated, Service or CanonicalUser) and gives the
// text to put in its place. Trust and resource policies use it to turn ARNs into unique ids when
// they are saved, so that trust does not come back with a recreated name, and
// back again when they are read.
func ReplacePrincipals(text string, f func(kind, value string) (string, error)) (string, error) {
	p, bad := read(text)
	if bad != nil {
		return "", bad
	}
	replace := map[int]principalPattern{}
	for i := range p.statements {
		for _, pr := range p.statements[i].principals {
			value, err := f(pr.Type, pr.Value)
			if err != nil {
				return "", err
			}
			if value != pr.Value {
				pr.value = value
				replace[pr.at] = pr
			}
		}
	}
	var b strings.Builder
	done := 0
	for _, at := range slices.Sorted(maps.Keys(replace)) {
		pr := replace[at]
		b.WriteString(text[done:at])
		b.WriteString(quoteJSON(pr.value))
		done = pr.end
	}
	b.WriteString(text[done:])
	return b.String(), nil
}
