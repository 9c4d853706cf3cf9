package identitypool

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"usher/internal/awsapi"
	"usher/internal/sts"
)

// upstream gets the credentials of a pool from another STS (AWS's, Ceph's, another installation's), by presenting the
// identity's OpenID token there (STS API Reference, AssumeRoleWithWebIdentity). That STS must know this issuer as an
// OpenID Connect provider whose client id is the identity pool's id.
type upstream struct {
	url   string
	token string
}

// AssumeWebIdentity implements CredentialIssuer. A refusal is an *awsapi.Error, as of our own STS.
func (u *upstream) AssumeWebIdentity(ctx context.Context, w sts.WebIdentity) (sts.Credentials, error) {
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {w.RoleARN}, "RoleSessionName": {w.SessionName},
		"DurationSeconds": {strconv.Itoa(int(w.Duration / time.Second))}, "WebIdentityToken": {u.token},
	}
	if w.Policy != "" {
		form.Set("Policy", w.Policy)
	}
	for i, arn := range w.PolicyARNs {
		form.Set(fmt.Sprintf("PolicyArns.member.%d.arn", i+1), arn)
	}
	req, err := http.NewRequestWithContext(ctx, "POST", u.url, strings.NewReader(form.Encode()))
	if err != nil {
		return sts.Credentials{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := asker.Do(req)
	if err != nil {
		return sts.Credentials{}, errExternal.With(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, askMost))
	if err != nil {
		return sts.Credentials{}, errExternal.With(err)
	}
	if resp.StatusCode >= 400 && resp.StatusCode < 500 {
		var refusal struct {
			Error     struct{ Code, Message string }
			RequestID string `xml:"RequestId"`
		}
		if xml.Unmarshal(body, &refusal) == nil && refusal.Error.Code != "" {
			awsapi.Detail(ctx, "the STS at %s refused %s, by its request %s", u.url, w.RoleARN, refusal.RequestID)
			return sts.Credentials{}, &awsapi.Error{Code: refusal.Error.Code, Status: resp.StatusCode, Message: refusal.Error.Message}
		}
	}
	var answer struct {
		Result struct {
			Credentials struct {
				AccessKeyID     string    `xml:"AccessKeyId"`
				SecretAccessKey string    `xml:"SecretAccessKey"`
				SessionToken    string    `xml:"SessionToken"`
				Expiration      time.Time `xml:"Expiration"`
			}
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", u.url, resp.Status)
	} else if err = xml.Unmarshal(body, &answer); err == nil && answer.Result.Credentials.AccessKeyID == "" {
		err = errors.New(u.url + " answers without credentials")
	}
	if err != nil {
		return sts.Credentials{}, errExternal.With(err)
	}
	return sts.Credentials(answer.Result.Credentials), nil
}
