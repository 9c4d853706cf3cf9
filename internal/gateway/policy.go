package gateway

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"usher/internal/db"
	"usher/internal/policy"
)

// Principals knows the users, roles and accounts that bucket policies name.
type Principals interface {
	// ResolvePrincipal reports whether a principal may stand in a policy, and the unique id of a user, role or role
	// session. kind is AWS, Federated, Service or CanonicalUser.
	ResolvePrincipal(ctx context.Context, q db.Querier, kind, value string) (id string, ok bool, err error)
	// PrincipalARN is the ARN that the bearer of a unique id has now, "" if there is none any more.
	PrincipalARN(ctx context.Context, q db.Querier, id string) (string, error)
}

// bucketDoc is what a bucket's owner has set.
type bucketDoc struct {
	Policy string `json:"policy,omitempty"` // as sent
	// PolicyIDs are the unique ids of the users and roles that Policy names by ARN: it means those who bore the names when
	// it was saved.
	PolicyIDs   map[string]string `json:"policyIds,omitempty"`
	AccessBlock *accessBlock      `json:"accessBlock,omitempty"` // nil: removed
}

// accessBlock is the PublicAccessBlockConfiguration (Amazon S3 User Guide, "Blocking public access to your Amazon S3
// storage"). There are no public ACLs here to block or ignore.
type accessBlock struct {
	XMLName               xml.Name `xml:"PublicAccessBlockConfiguration" json:"-"`
	BlockPublicAcls       bool
	IgnorePublicAcls      bool
	BlockPublicPolicy     bool
	RestrictPublicBuckets bool
}

// bucketFacts is what each request needs to know of a bucket. It is shared: read only.
type bucketFacts struct {
	owner      string
	policy     []policy.Source
	restricted bool // its policy is public, and does not count for other accounts
}

// facts returns what is known of a bucket, nil if there is no such bucket. It comes from memory.
func (g *Gateway) facts(ctx context.Context, name string) (*bucketFacts, error) {
	return g.buckets.Get(ctx, name, bucketScope(name), func(ctx context.Context) (*bucketFacts, error) {
		row, err := g.bucketRow(ctx, g.c.DB, name)
		if errors.Is(err, db.ErrNotFound) || err == nil && row.State != ready {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		f, d := &bucketFacts{owner: row.Account}, &row.Doc.V
		if d.Policy != "" {
			compiled, err := compilePolicy(d)
			if err != nil {
				return nil, fmt.Errorf("gateway: policy of bucket %s: %w", name, err)
			}
			f.policy = []policy.Source{{ID: "policy of bucket " + name, Type: "resource", ARN: resource(name, ""), Policy: compiled}}
			f.restricted = d.AccessBlock != nil && d.AccessBlock.RestrictPublicBuckets && isPublic(compiled)
		}
		return f, nil
	})
}

// compilePolicy parses the policy with unique ids in the place of ARNs.
func compilePolicy(d *bucketDoc) (*policy.Policy, error) {
	text, err := policy.ReplacePrincipals(d.Policy, func(kind, value string) (string, error) {
		if id, ok := d.PolicyIDs[value]; ok && kind == "AWS" {
			return id, nil
		}
		return value, nil
	})
	if err != nil {
		return nil, err
	}
	return policy.Parse(text)
}

// ResourcePolicy implements access.ResourcePolicies for buckets and objects.
func (g *Gateway) ResourcePolicy(ctx context.Context, resource, owner, caller string) ([]policy.Source, error) {
	path, ok := strings.CutPrefix(resource, "arn:aws:s3:::")
	if !ok {
		return nil, nil
	}
	name, _, _ := strings.Cut(path, "/")
	f, err := g.facts(ctx, name)
	if err != nil || f == nil || f.owner != owner {
		return nil, err
	}
	if f.restricted && caller != owner {
		return restricted, nil
	}
	return f.policy, nil
}

// restricted stands for a public policy in the eyes of other accounts where RestrictPublicBuckets is set.
var restricted = func() []policy.Source {
	p, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`)
	if err != nil {
		panic(err)
	}
	return []policy.Source{{ID: "RestrictPublicBuckets: the bucket policy is public", Type: "resource", Policy: p}}
}()

// change edits what the owner of a bucket has set.
func (g *Gateway) change(ctx context.Context, name string, edit func(*db.Tx, *bucketDoc) error) error {
	return g.c.DB.Tx(ctx, func(tx *db.Tx) error {
		row, err := g.bucketRow(ctx, tx, name)
		if errors.Is(err, db.ErrNotFound) || err == nil && row.State != ready {
			return errNoSuchBucket.with("BucketName", name)
		} else if err != nil {
			return err
		}
		if err := edit(tx, &row.Doc.V); err != nil {
			return err
		}
		tx.Invalidate(bucketScope(name))
		return db.Changed(tx.ExecContext(ctx, `UPDATE gateway_buckets SET doc = $1 WHERE name = $2 AND account_id = $3 AND created = $4`, row.Doc, name, row.Account, row.Created))
	})
}

// doc reads what the owner of a bucket has set.
func (g *Gateway) doc(ctx context.Context, name string) (*bucketDoc, error) {
	row, err := g.bucketRow(ctx, g.c.DB, name)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errNoSuchBucket.with("BucketName", name)
	}
	return &row.Doc.V, err
}

// ofOwner refuses callers of other accounts, whatever they may do: a bucket policy is for the owner's account alone to read
// and write (Amazon S3 API Reference, PutBucketPolicy).
func (q *request) ofOwner() error {
	if q.caller.AccountID != q.owner {
		return errMethodNotAllowed.with("Method", q.method).with("ResourceType", "BUCKETPOLICY")
	}
	return nil
}

func (g *Gateway) putBucketPolicy(w *answer, q *request) error {
	if err := q.ofOwner(); err != nil {
		return err
	}
	ctx, text := q.http.Context(), string(q.body.small)
	if err := (policy.Rules{Bucket: q.bucket}).Validate(text, policy.KindBucket); err != nil {
		return malformedPolicy(err)
	}
	err := g.change(ctx, q.bucket, func(tx *db.Tx, d *bucketDoc) (err error) {
		d.Policy, d.PolicyIDs = text, map[string]string{}
		_, err = policy.ReplacePrincipals(text, func(kind, value string) (string, error) {
			id, ok, err := g.c.Principals.ResolvePrincipal(ctx, tx, kind, value)
			if err == nil && !ok {
				err = errMalformedPolicy.msg("Invalid principal in policy").with("Detail", `"`+kind+`" : "`+value+`"`)
			}
			if id != "" {
				d.PolicyIDs[value] = id
			}
			return value, err
		})
		if err != nil {
			return err
		}
		compiled, err := compilePolicy(d)
		if err == nil && d.AccessBlock != nil && d.AccessBlock.BlockPublicPolicy && isPublic(compiled) {
			err = errAccessDenied.msg("User: %s is not authorized to perform: s3:PutBucketPolicy on resource: %q because public policies are blocked by the BlockPublicPolicy block public access setting.",
				q.caller.ARN, resource(q.bucket, ""))
		}
		return err
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// malformedPolicy is a fault of a document in S3's words.
func malformedPolicy(err error) error {
	if bad, ok := errors.AsType[*policy.Malformed](err); ok {
		return errMalformedPolicy.msg("%s", bad.Message)
	}
	if large, ok := errors.AsType[*policy.TooLarge](err); ok {
		return errMalformedPolicy.msg("%s", large.Message)
	}
	return err
}

// readPolicy is the start of the operations that read the policy.
func (g *Gateway) readPolicy(q *request) (*bucketDoc, error) {
	if err := q.ofOwner(); err != nil {
		return nil, err
	}
	d, err := g.doc(q.http.Context(), q.bucket)
	if err == nil && d.Policy == "" {
		err = errNoSuchBucketPolicy.with("BucketName", q.bucket)
	}
	return d, err
}

// getBucketPolicy shows the policy with the ARNs that its principals have now, and the bare unique ids of those that are
// gone.
func (g *Gateway) getBucketPolicy(w *answer, q *request) error {
	d, err := g.readPolicy(q)
	if err != nil {
		return err
	}
	ctx := q.http.Context()
	text, err := policy.ReplacePrincipals(d.Policy, func(kind, value string) (string, error) {
		id, ok := d.PolicyIDs[value]
		if !ok || kind != "AWS" {
			return value, nil
		}
		name, err := g.c.Principals.PrincipalARN(ctx, g.c.DB, id)
		if name == "" {
			name = id
		}
		return name, err
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusOK)
	_, err = w.Write([]byte(text))
	return err
}

func (g *Gateway) deleteBucketPolicy(w *answer, q *request) error {
	if err := q.ofOwner(); err != nil {
		return err
	}
	err := g.change(q.http.Context(), q.bucket, func(_ *db.Tx, d *bucketDoc) error {
		d.Policy, d.PolicyIDs = "", nil
		return nil
	})
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (g *Gateway) getBucketPolicyStatus(w *answer, q *request) error {
	d, err := g.readPolicy(q)
	if err != nil {
		return err
	}
	compiled, err := compilePolicy(d)
	if err != nil {
		return err
	}
	b := append([]byte(xmlHeader), `<PolicyStatus xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`...)
	b = appendElement(b, "IsPublic", strconv.FormatBool(isPublic(compiled)))
	writeXML(w, http.StatusOK, append(b, "</PolicyStatus>"...))
	return nil
}

func (g *Gateway) putPublicAccessBlock(w *answer, q *request) error {
	var in accessBlock
	if err := xml.Unmarshal(q.body.small, &in); err != nil {
		return errMalformedXML
	}
	return g.setPublicAccessBlock(w, q, &in, http.StatusOK)
}

func (g *Gateway) deletePublicAccessBlock(w *answer, q *request) error {
	return g.setPublicAccessBlock(w, q, nil, http.StatusNoContent)
}

func (g *Gateway) setPublicAccessBlock(w *answer, q *request, block *accessBlock, status int) error {
	err := g.change(q.http.Context(), q.bucket, func(_ *db.Tx, d *bucketDoc) error {
		d.AccessBlock = block
		return nil
	})
	if err == nil {
		w.WriteHeader(status)
	}
	return err
}

func (g *Gateway) getPublicAccessBlock(w *answer, q *request) error {
	d, err := g.doc(q.http.Context(), q.bucket)
	if err != nil {
		return err
	}
	if d.AccessBlock == nil {
		return errNoSuchAccessBlock.with("BucketName", q.bucket)
	}
	b := append([]byte(xmlHeader), `<PublicAccessBlockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`...)
	b = appendElement(b, "BlockPublicAcls", strconv.FormatBool(d.AccessBlock.BlockPublicAcls))
	b = appendElement(b, "IgnorePublicAcls", strconv.FormatBool(d.AccessBlock.IgnorePublicAcls))
	b = appendElement(b, "BlockPublicPolicy", strconv.FormatBool(d.AccessBlock.BlockPublicPolicy))
	b = appendElement(b, "RestrictPublicBuckets", strconv.FormatBool(d.AccessBlock.RestrictPublicBuckets))
	writeXML(w, http.StatusOK, append(b, "</PublicAccessBlockConfiguration>"...))
	return nil
}

// isPublic reports whether a bucket policy counts as public: it allows something to everyone, without a condition on who
// they are or where they come from that has fixed values (Amazon S3 User Guide, "The meaning of 'public'").
func isPublic(p *policy.Policy) bool {
	for _, st := range p.Statements() {
		if st.Effect != policy.Allow {
			continue
		}
		entries, not := st.Principals()
		everyone := not
		for _, e := range entries {
			everyone = everyone || strings.Contains(e.Value, "*")
		}
		if everyone && !narrowed(st.Conditions()) {
			return true
		}
	}
	return false
}

// narrowing are the condition keys that make a policy not public.
var narrowing = map[string]bool{
	"aws:principalarn": true, "aws:principalaccount": true, "aws:principalorgid": true, "aws:userid": true,
	"aws:sourcearn": true, "aws:sourceaccount": true, "aws:sourceowner": true, "aws:sourcevpc": true, "aws:sourcevpce": true,
	"s3:x-amz-server-side-encryption-aws-kms-key-id": true, "s3:dataaccesspointarn": true, "s3:dataaccesspointaccount": true,
}

func narrowed(conditions []policy.Condition) bool {
	for _, c := range conditions {
		operator, key := strings.ToLower(c.Operator), strings.ToLower(c.Key)
		operator = strings.TrimPrefix(operator, "foranyvalue:")
		var fixed func(string) bool
		switch {
		case key == "aws:sourceip" && operator == "ipaddress":
			fixed = narrowNetwork
		case narrowing[key] && (operator == "stringequals" || operator == "stringequalsignorecase" || operator == "stringlike" || operator == "arnequals" || operator == "arnlike"):
			fixed = func(v string) bool { return v != "" && !strings.ContainsAny(v, "*?$") }
		default:
			continue
		}
		all := len(c.Values) > 0
		for _, v := range c.Values {
			all = all && fixed(v)
		}
		if all {
			return true
		}
	}
	return false
}

// narrowNetwork: wider networks than /8 and /32 are as good as everybody's.
func narrowNetwork(text string) bool {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.IsValid()
	}
	p, err := netip.ParsePrefix(text)
	return err == nil && (p.Addr().Is4() && p.Bits() >= 8 || p.Addr().Is6() && p.Bits() >= 32)
}
