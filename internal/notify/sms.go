package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
)

// smsMost is how long the receiver of an SMS may take.
const smsMost = 10 * time.Second

// stay is an HTTP client that does not follow redirects: a code goes where the operator said, and nowhere else.
var stay = &http.Client{
	Timeout:       smsMost,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Webhook delivers SMS by HTTP: POST of {"to":"+15550100","body":"…"} to one URL, whose answer is a status of 2xx.
type Webhook struct {
	URL   string
	Token string // sent as Authorization: Bearer; "" for none
}

// Send implements Sender. Statuses 400, 413 and 422 say that this message will never be accepted and are ErrRefused.
func (h *Webhook) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(struct {
		To   string `json:"to"`
		Body string `json:"body"`
	}{m.To, m.Body})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "usher")
	if h.Token != "" {
		r.Header.Set("Authorization", "Bearer "+h.Token)
	}
	resp, err := stay.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may hold a secret
		}
		return fmt.Errorf("SMS webhook: %w", err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusRequestEntityTooLarge, resp.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: SMS webhook: %s", ErrRefused, resp.Status)
	}
	return fmt.Errorf("SMS webhook: %s", resp.Status)
}

// SNS delivers SMS through the Publish operation of Amazon SNS, or of any endpoint that serves it.
type SNS struct{ client *sns.Client }

// NewSNS returns a sender that signs for the SNS API at endpoint in a region.
func NewSNS(endpoint, region string, credentials aws.CredentialsProvider) *SNS {
	return &SNS{sns.New(sns.Options{BaseEndpoint: &endpoint, Region: region, Credentials: credentials, HTTPClient: stay, Retryer: aws.NopRetryer{}})}
}

// Send implements Sender. A message that SNS calls invalid is ErrRefused.
func (s *SNS) Send(ctx context.Context, m Message) error {
	in := &sns.PublishInput{Message: &m.Body}
	if m.Medium == Topic {
		in.TopicArn = &m.To
	} else {
		in.PhoneNumber = &m.To
	}
	_, err := s.client.Publish(ctx, in)
	if api, ok := errors.AsType[smithy.APIError](err); ok && strings.HasPrefix(api.ErrorCode(), "InvalidParameter") {
		return fmt.Errorf("%w: SNS: %w", ErrRefused, err)
	}
	return err
}
