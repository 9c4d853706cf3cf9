package userpool

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"sync"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// authenticator is one in software, together with the browser that it is plugged into.
type authenticator struct {
	origin    string
	key       crypto.Signer
	id        []byte
	verifies  bool
	synced    bool   // its keys are kept elsewhere, too
	counter   uint32 // 0: has none
	platform  bool
	userID    []byte
	mutate    func(*ceremony)      // before signing
	mutateRaw func(map[string]any) // of what the browser sends
}

// ceremony is what goes into a signature.
type ceremony struct {
	clientData map[string]any
	rpID       string
	flags      byte
	counter    uint32
	id         []byte
	format     string
	statement  map[string]any
	publicKey  map[int]any
	signature  func([]byte) []byte // of the right one
}

const (
	flagPresent  = 0x01
	flagVerified = 0x04
	flagEligible = 0x08
	flagBackedUp = 0x10
	flagAttested = 0x40
)

var testRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newAuthenticator(tb testing.TB, origin string) *authenticator {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	id := make([]byte, 20)
	rand.Read(id)
	return &authenticator{origin: origin, key: key, id: id, verifies: true, synced: true}
}

// cose is the public key as COSE_Key (RFC 9053).
func (a *authenticator) cose(tb testing.TB) map[int]any {
	switch key := a.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		return map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}
	case *rsa.PublicKey:
		return map[int]any{1: 3, 3: -257, -1: key.N.Bytes(), -2: []byte{1, 0, 1}}
	}
	tb.Fatal("key")
	return nil
}

func (a *authenticator) sign(tb testing.TB, data []byte) []byte {
	digest := sha256.Sum256(data)
	signature, err := a.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		tb.Fatal(err)
	}
	return signature
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(tb testing.TB, text string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func (a *authenticator) begin(kind, challenge, rpID string) *ceremony {
	c := &ceremony{clientData: map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false}, rpID: rpID, flags: flagPresent, counter: a.counter, id: a.id, format: "none", statement: map[string]any{}}
	if a.verifies {
		c.flags |= flagVerified
	}
	if a.synced {
		c.flags |= flagEligible | flagBackedUp
	}
	c.signature = func(right []byte) []byte { return right }
	return c
}

func (c *ceremony) authData() []byte {
	hash := sha256.Sum256([]byte(c.rpID))
	return binary.BigEndian.AppendUint32(append(hash[:], c.flags), c.counter)
}

func (a *authenticator) attachment() string {
	if a.platform {
		return "platform"
	}
	return "cross-platform"
}

// create is navigator.credentials.create: it returns a RegistrationResponseJSON.
func (a *authenticator) create(tb testing.TB, options *creationOptions) map[string]any {
	tb.Helper()
	a.userID = options.User.ID
	c := a.begin("webauthn.create", b64(options.Challenge), options.RP.ID)
	c.publicKey = a.cose(tb)
	if a.mutate != nil {
		a.mutate(c)
	}
	clientData, err := json.Marshal(c.clientData)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := webauthncbor.Marshal(c.publicKey)
	if err != nil {
		tb.Fatal(err)
	}
	c.flags |= flagAttested
	data := append(c.authData(), make([]byte, 16)...) // AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(c.id)))
	data = append(append(data, c.id...), key...)
	if c.format == "packed" { // self attestation
		hash := sha256.Sum256(clientData)
		c.statement = map[string]any{"alg": c.publicKey[3], "sig": c.signature(a.sign(tb, append(append([]byte{}, data...), hash[:]...)))}
	}
	object, err := webauthncbor.Marshal(map[string]any{"fmt": c.format, "attStmt": c.statement, "authData": data})
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "authenticatorAttachment": a.attachment(),
		"clientExtensionResults": map[string]any{"credProps": map[string]any{"rk": true}},
		"response": map[string]any{"clientDataJSON": b64(clientData), "attestationObject": b64(object), "transports": []string{"internal", "hybrid", "teleport"},
			"authenticatorData": b64(data), "publicKeyAlgorithm": c.publicKey[3]}}
	if a.mutateRaw != nil {
		a.mutateRaw(out)
	}
	return out
}

// get is navigator.credentials.get: it returns an AuthenticationResponseJSON.
func (a *authenticator) get(tb testing.TB, options *requestOptions) string {
	tb.Helper()
	if a.counter > 0 {
		a.counter++
	}
	c := a.begin("webauthn.get", b64(options.Challenge), options.RPID)
	if a.mutate != nil {
		a.mutate(c)
	}
	clientData, err := json.Marshal(c.clientData)
	if err != nil {
		tb.Fatal(err)
	}
	data, hash := c.authData(), sha256.Sum256(clientData)
	signature := c.signature(a.sign(tb, append(append([]byte{}, data...), hash[:]...)))
	response := map[string]any{"clientDataJSON": b64(clientData), "authenticatorData": b64(data), "signature": b64(signature)}
	if a.userID != nil {
		response["userHandle"] = b64(a.userID)
	}
	out := map[string]any{"id": b64(c.id), "rawId": b64(c.id), "type": "public-key", "authenticatorAttachment": a.attachment(), "clientExtensionResults": map[string]any{}, "response": response}
	if a.mutateRaw != nil {
		a.mutateRaw(out)
	}
	text, err := json.Marshal(out)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
