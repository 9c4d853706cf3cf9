package server

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"usher/internal/notify"
	"usher/internal/trigger"
)

// What the server calls on its own account: Lambda functions of user pools, and senders of SMS.

// checkOutbound checks the URL of a setting that names a service which will see codes and passwords.
func checkOutbound(name, text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Fragment != "" {
		return fmt.Errorf("--%s: want http(s)://host[:port][/path]", name) // without the text: it may hold a secret
	}
	if u.Scheme == "http" && !isLoopbackHost(u.Hostname()) {
		return fmt.Errorf("--%s: codes and tokens would cross the network in clear; http:// is only for this machine", name)
	}
	return nil
}

// snsEndpoint returns the endpoint of a setting --sms that names an SNS API.
func (c *Config) snsEndpoint() (string, bool) { return strings.CutPrefix(c.SMS, "sns:") }

// triggers calls Lambda functions; nil without --lambda.
func (s *Server) triggers() (*trigger.Invoker, error) {
	if s.cfg.Lambda == "" {
		return nil, nil
	}
	keys, err := awsCredentials("lambda", s.cfg.LambdaCredentialsFile)
	if err != nil {
		return nil, err
	}
	return trigger.New(strings.TrimSuffix(s.cfg.Lambda, "/"), keys), nil
}

// sms sends SMS where --sms says.
func (s *Server) sms() (notify.Sender, error) {
	cfg := &s.cfg
	if endpoint, ok := cfg.snsEndpoint(); ok {
		keys, err := awsCredentials("sms", cfg.SMSCredentialsFile)
		if err != nil {
			return nil, err
		}
		return notify.NewSNS(strings.TrimSuffix(endpoint, "/"), snsRegion(endpoint, cfg.Region), keys), nil
	}
	hook := &notify.Webhook{URL: cfg.SMS}
	if cfg.SMSCredentialsFile != "" {
		text, err := os.ReadFile(cfg.SMSCredentialsFile)
		if err != nil {
			return nil, err
		}
		hook.Token = strings.TrimSpace(string(text))
	}
	return hook, nil
}

// snsRegion is the region to sign with: the one in the host name of SNS at AWS, sns.REGION.amazonaws.com, or else def.
func snsRegion(endpoint, def string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return def
	}
	region, found := strings.CutPrefix(u.Hostname(), "sns.")
	region, _, isAWS := strings.Cut(region, ".amazonaws.com")
	if !found || !isAWS {
		return def
	}
	return region
}

// awsCredentials reads `access-key-id:secret` or `access-key-id:secret:session-token` from a file, or without one takes the
// environment variables of the AWS SDKs.
func awsCredentials(setting, file string) (aws.CredentialsProvider, error) {
	id, secret, token := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var rest string
		id, rest, _ = strings.Cut(strings.TrimSpace(string(text)), ":")
		secret, token, _ = strings.Cut(rest, ":")
	}
	switch {
	case id != "" && secret != "":
		return credentials.NewStaticCredentialsProvider(id, secret, token), nil
	case file != "":
		return nil, fmt.Errorf("%s: want access-key-id:secret", file)
	}
	return nil, fmt.Errorf("--%s needs --%s-credentials-file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment", setting, setting)
}
