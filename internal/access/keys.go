package access

import (
	"strconv"
	"time"

	"usher/internal/policy"
)

const (
	iso8601 = "2006-01-02T15:04:05Z"
	yes     = "true"
	no      = "false"
)

// set gives the global condition keys that describe the request (IAM User Guide, "AWS global condition context keys").
func (f *requestFacts) set(c *policy.Context, now time.Time) {
	now = now.UTC()
	c.Set("aws:CurrentTime", now.Format(iso8601))
	c.Set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	c.Set("aws:SecureTransport", boolean(f.tls))
	c.Set("aws:ViaAWSService", no)
	if f.sourceIP != "" {
		c.Set("aws:SourceIp", f.sourceIP)
	}
	if f.userAgent != "" {
		c.Set("aws:UserAgent", f.userAgent)
	}
	if f.referer != "" {
		c.Set("aws:referer", f.referer)
	}
	if f.region != "" {
		c.Set("aws:RequestedRegion", f.region)
	}
}

// set gives the global condition keys that describe the caller, and those that his session brings along.
func (p *Principal) set(c *policy.Context, now time.Time) {
	c.Set("aws:PrincipalType", p.kindName())
	if p.Kind == policy.Anonymous {
		c.Set("aws:PrincipalAccount", "anonymous")
		c.Set("aws:userid", "anonymous")
		return
	}
	c.Set("aws:PrincipalAccount", p.AccountID)
	c.Set("aws:PrincipalArn", p.principalARN())
	c.Set("aws:PrincipalIsAWSService", no)
	c.Set("aws:userid", p.UserID())
	if p.Organization.ID != "" {
		c.Set("aws:PrincipalOrgID", p.Organization.ID)
		c.SetAll("aws:PrincipalOrgPaths", []string{p.Organization.Path})
	}
	if p.Kind == policy.User {
		c.Set("aws:username", p.Name)
	}
	for name, value := range p.Tags {
		c.Set("aws:PrincipalTag/"+name, value)
	}
	if p.Session != nil {
		p.Session.set(c, p.Kind, now)
	}
}

func (s *Session) set(c *policy.Context, kind policy.PrincipalKind, now time.Time) {
	c.Set("aws:TokenIssueTime", s.Issued.UTC().Format(iso8601))
	c.Set("aws:MultiFactorAuthPresent", boolean(!s.MFATime.IsZero()))
	if s.AssumedRoot {
		c.Set("aws:AssumedRoot", yes)
	}
	if !s.MFATime.IsZero() {
		c.Set("aws:MultiFactorAuthAge", strconv.FormatInt(int64(now.Sub(s.MFATime)/time.Second), 10))
	}
	if s.Provider != "" {
		c.Set("aws:FederatedProvider", s.Provider)
	}
	if s.SourceIdentity != "" {
		c.Set("aws:SourceIdentity", s.SourceIdentity)
	}
	for _, t := range s.Tags {
		c.Set("aws:PrincipalTag/"+t.Key, t.Value)
	}
	for _, k := range s.Keys {
		setKey(c, k.Name, k.Values)
	}
}

func boolean(b bool) string {
	if b {
		return yes
	}
	return no
}
