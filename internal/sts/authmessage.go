package sts

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"usher/internal/api/sts"
	"usher/internal/awsapi"
)

const (
	// authMessageLife is how long an encoded message can be decoded.
	authMessageLife = 24 * time.Hour
	// maxAuthMessage is what DecodeAuthorizationMessage takes, in characters.
	maxAuthMessage = 10240

	authMessagePurpose = "sts/authorization-message"
)

var errAuthMessage = sts.ErrInvalidAuthorizationMessage.Msg("Message is not valid")

// EncodeAuthorizationMessage seals what explains a denial (policy.Explanation.AuthorizationMessage) for callers of an account
// who may call DecodeAuthorizationMessage. It fails for messages that are too long for that.
func (s *Service) EncodeAuthorizationMessage(account string, message []byte) (string, error) {
	plain := append(binary.BigEndian.AppendUint64(nil, uint64(s.Now().Unix())), deflate(message)...)
	text := base64.RawURLEncoding.EncodeToString(s.Keys.Box(authMessagePurpose).Seal(plain, []byte(account)))
	if len(message) > maxInflated || len(text) > maxAuthMessage {
		return "", fmt.Errorf("sts: an authorization message of %d bytes is too long to be encoded", len(message))
	}
	return text, nil
}

// DecodeAuthorizationMessage implements sts:DecodeAuthorizationMessage.
func (s *Service) DecodeAuthorizationMessage(ctx context.Context, in *sts.DecodeAuthorizationMessageRequest) (*sts.DecodeAuthorizationMessageResponse, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(*in.EncodedMessage)
	if err != nil {
		return nil, errAuthMessage.With(err)
	}
	plain, err := s.Keys.Box(authMessagePurpose).Open(sealed, []byte(caller.AccountID))
	if err != nil || len(plain) < 8 {
		return nil, errAuthMessage.With(err)
	}
	if made := time.Unix(int64(binary.BigEndian.Uint64(plain)), 0); s.Now().After(made.Add(authMessageLife)) {
		return nil, errAuthMessage
	}
	message, err := inflate(string(plain[8:]))
	if err != nil {
		return nil, errAuthMessage.With(err)
	}
	return &sts.DecodeAuthorizationMessageResponse{DecodedMessage: &message}, nil
}
