package identitypool

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Twitter has tokens of OAuth 1 (Cognito developer guide, "Twitter/Digits"): the pool holds the application's consumer key and
// secret, a login is a token and its secret, each pair with a semicolon between them.

// verifyTwitter asks whose a token is (Twitter API, GET account/verify_credentials). Twitter answers only if the token is for the
// application whose key signs the question.
func (s *Service) verifyTwitter(ctx context.Context, from *provider, text string) (login, error) {
	key, secret, ok := strings.Cut(from.app, ";")
	token, tokenSecret, both := strings.Cut(text, ";")
	if !ok || !both || token == "" {
		return login{}, errUnverified.With(errors.New("want key;secret in the pool and token;tokenSecret as the login"))
	}
	address := s.Endpoints.Twitter + "/1.1/account/verify_credentials.json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return login{}, err
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	parameters := url.Values{
		"oauth_consumer_key": {key}, "oauth_nonce": {hex.EncodeToString(nonce)}, "oauth_signature_method": {"HMAC-SHA1"},
		"oauth_timestamp": {strconv.FormatInt(s.Now().Unix(), 10)}, "oauth_token": {token}, "oauth_version": {"1.0"},
	}
	parameters.Set("oauth_signature", signOAuth1(http.MethodGet, address, parameters, secret, tokenSecret))
	var list []string
	for name := range parameters {
		list = append(list, name+`="`+escapeOAuth1(parameters.Get(name))+`"`)
	}
	slices.Sort(list)
	req.Header.Set("Authorization", "OAuth "+strings.Join(list, ", "))
	var user struct {
		ID string `json:"id_str"`
	}
	if err := s.answer(req, address, &user); err != nil {
		return login{}, err
	}
	public := *from
	public.app = key // what amr and claims tell
	return opaque(&public, user.ID, "https://api.twitter.com", "")
}

// signOAuth1 is the HMAC-SHA1 signature of a request (RFC 5849, 3.4).
func signOAuth1(method, address string, parameters url.Values, consumerSecret, tokenSecret string) string {
	var list []string
	for name, values := range parameters {
		for _, v := range values {
			list = append(list, escapeOAuth1(name)+"="+escapeOAuth1(v))
		}
	}
	slices.Sort(list)
	mac := hmac.New(sha1.New, []byte(escapeOAuth1(consumerSecret)+"&"+escapeOAuth1(tokenSecret)))
	mac.Write([]byte(method + "&" + escapeOAuth1(address) + "&" + escapeOAuth1(strings.Join(list, "&"))))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// escapeOAuth1 is percent-encoding (RFC 5849, 3.6).
func escapeOAuth1(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
