package userpool

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"usher/internal/db"
)

// What a client keeps for us between two calls is sealed, so that any node can take up the next call without reading
// anything first: the session of a sign-in between two challenges, and the secret block of an SRP proof under way. Both
// are bound to the pool and the client that they were made for, and each is good for one step.

// session is the state of a sign-in between two challenges.
type session struct {
	ID        [16]byte // names it in used_sessions once it has been answered
	Challenge string   // the challenge that it waits for
	Flow      string   // the AuthFlow that began the sign-in
	Sub       string   // whose sign-in
	Event     string   // event_id of the sign-in
	Password  int64    // password_set_at of the password that was proven, µs; a newer password ends the session
	Expires   int64    // µs

	Pool, Client string   // that it was sealed for
	Choices      []string // what SELECT_MFA_TYPE, MFA_SETUP and SELECT_CHALLENGE may be answered with
	Done         bool     // MFA_SETUP: the authenticator app is verified
	Setup        bool     // the code makes To the user's address
	To           delivery // where the code went
	Code         []byte   // hash of the code; for DEVICE_PASSWORD_VERIFIER the secret block; for WEB_AUTHN the challenge
	Device       string   // key of the device that takes part
	Proof        []byte   // of package srp, for DEVICE_PASSWORD_VERIFIER; for WEB_AUTHN the process, as usedBlocks has it
	First        bool     // of USER_AUTH, and nothing is proven yet
	Name         string   // First: as typed
}

// Purposes of sealed texts.
const (
	boxSession      = "userpool session"
	boxSecretBlock  = "userpool secret block"
	boxRegistration = "userpool passkey registration"
	boxCustom       = "userpool custom sign-in"
	boxRefresh      = "userpool refresh token"
	boxKey          = "userpool key"
)

const (
	sessionPrefix  = "AYABe" // as sessions of AWS begin
	sessionVersion = 3
)

// sessionSizes are what sessions are filled up to, so that their length does not tell whether the user exists and where his
// code went. A longer one stays as it is: the API takes 2048 characters.
var sessionSizes = []int{512, 1024}

// newSession gives st an id and its time.
func (s *Service) newSession(c *client, st session) session {
	rand.Read(st.ID[:])
	st.Expires = s.Now().Add(c.SessionLife).UnixMicro()
	return st
}

// sealSession returns st as the Session of a challenge for client c of pool p, good for the client's AuthSessionValidity.
func (s *Service) sealSession(p *pool, c *client, st session) string {
	if st.Expires == 0 {
		st = s.newSession(c, st)
	}
	var w packer
	w.bytes(st.ID[:])
	w.text(st.Challenge)
	w.text(st.Flow)
	w.text(st.Sub)
	w.text(st.Event)
	w.number(st.Password)
	w.number(st.Expires)
	w.text(p.ID)
	w.text(c.ID)
	w.texts(st.Choices)
	w.flag(st.Done)
	w.flag(st.Setup)
	w.text(st.To.attribute)
	w.text(st.To.target)
	w.bytes(st.Code)
	w.text(st.Device)
	w.bytes(st.Proof)
	w.flag(st.First)
	w.text(st.Name)
	for _, size := range sessionSizes {
		if len(w) <= size {
			w = append(w, make([]byte, size-len(w))...)
			break
		}
	}
	return sessionPrefix + base64.RawURLEncoding.EncodeToString(s.Seal.Box(boxSession).Seal(w, []byte{sessionVersion}))
}

// openSession returns the session of a client that text seals. It says nothing about whether the session was used before.
func (s *Service) openSession(p *pool, c *client, text string) (session, error) {
	st, err := s.unsealSession(text)
	if err == nil && (st.Pool != p.ID || st.Client != c.ID) {
		err = errSession
	}
	return st, err
}

// unsealSession is openSession for calls that do not name a client.
func (s *Service) unsealSession(text string) (session, error) {
	var st session
	sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, sessionPrefix))
	if err != nil || !strings.HasPrefix(text, sessionPrefix) {
		return st, errSession
	}
	plain, err := s.Seal.Box(boxSession).Open(sealed, []byte{sessionVersion})
	if err != nil {
		return st, errSession.With(err)
	}
	r := unpacker{rest: plain}
	copy(st.ID[:], r.bytes())
	st.Challenge, st.Flow, st.Sub, st.Event = r.text(), r.text(), r.text(), r.text()
	st.Password, st.Expires = r.number(), r.number()
	st.Pool, st.Client, st.Choices, st.Done, st.Setup = r.text(), r.text(), r.texts(), r.flag(), r.flag()
	st.To = delivery{r.text(), r.text()}
	st.Code, st.Device, st.Proof, st.First, st.Name = r.bytes(), r.text(), r.bytes(), r.flag(), r.text()
	r.filling()
	if !r.done() {
		return st, errSession
	}
	if s.Now().UnixMicro() >= st.Expires {
		return st, errSessionExpired
	}
	return st, nil
}

// useSession marks st as answered, in the transaction that its answer makes.
func useSession(ctx context.Context, tx *db.Tx, st session) error {
	res, err := tx.ExecContext(ctx, `INSERT INTO used_sessions (id, expires) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, usedID(st.ID, st.Expires), st.Expires)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return errSessionUsed
	}
	return nil
}

// isUsed reports whether st was answered.
func isUsed(ctx context.Context, q db.Querier, st session) (bool, error) {
	return db.One[bool](ctx, q, `SELECT EXISTS (SELECT 1 FROM used_sessions WHERE id = $1)`, usedID(st.ID, st.Expires))
}

// secretBlock is the state of an SRP proof between InitiateAuth and the answer to PASSWORD_VERIFIER.
type secretBlock struct {
	ID      [16]byte
	Flow    string
	Sub     string // of the user, or the invented one of an unknown name
	Known   bool   // the user existed when the proof began
	Proof   []byte // of package srp: A, b and B
	Custom  string // key of the sign-in by custom challenges that the proof is part of
	Expires int64  // µs
}

const secretBlockVersion = 2

func (s *Service) sealSecretBlock(p *pool, c *client, b secretBlock) string {
	rand.Read(b.ID[:])
	b.Expires = s.Now().Add(c.SessionLife).UnixMicro()
	var w packer
	w.bytes(b.ID[:])
	w.text(b.Flow)
	w.text(b.Sub)
	w.flag(b.Known)
	w.bytes(b.Proof)
	w.text(b.Custom)
	w.number(b.Expires)
	return base64.StdEncoding.EncodeToString(s.Seal.Box(boxSecretBlock).Seal(w, s.auth.used.bind(boundTo(secretBlockVersion, p.ID, c.ID))))
}

// openSecretBlock returns the block that text seals, and raw, its bytes, which the proof covers.
func (s *Service) openSecretBlock(p *pool, c *client, text string) (b secretBlock, raw []byte, err error) {
	raw, err = decodeBlock(text)
	if err != nil {
		return b, nil, errSession
	}
	plain, err := s.Seal.Box(boxSecretBlock).Open(raw, s.auth.used.bind(boundTo(secretBlockVersion, p.ID, c.ID)))
	if err != nil {
		return b, nil, errSession.With(err)
	}
	r := unpacker{rest: plain}
	copy(b.ID[:], r.bytes())
	b.Flow, b.Sub, b.Known, b.Proof, b.Custom, b.Expires = r.text(), r.text(), r.flag(), r.bytes(), r.text(), r.number()
	if !r.done() {
		return b, nil, errSession
	}
	if s.Now().UnixMicro() >= b.Expires {
		return b, nil, errSessionExpired
	}
	return b, raw, nil
}

// decodeBlock accepts standard and URL-safe base64, as the live service does.
func decodeBlock(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "-_") {
		return base64.RawURLEncoding.DecodeString(text)
	}
	return base64.RawStdEncoding.DecodeString(text)
}

// useSecretBlock marks b as answered, whatever the answer was worth.
func (s *Service) useSecretBlock(ctx context.Context, b secretBlock) error {
	return s.auth.used.take(ctx, s.Now(), b.ID, b.Expires)
}

// usedBlocks remembers which secret blocks and challenges for passkeys were answered, until they expire. One process
// remembers them in memory, so that a sign-in writes nothing: they are bound to the process and end with it. Several nodes
// remember them in the database.
type usedBlocks struct {
	db   *db.DB // nil: in memory
	boot [16]byte

	mu      sync.Mutex
	minutes map[int64]map[[16]byte]struct{} // by the minute in which they expire
}

// newUsedBlocks remembers for this process alone, or in d for all that share it.
func newUsedBlocks(d *db.DB, shared bool) *usedBlocks {
	u := &usedBlocks{minutes: map[int64]map[[16]byte]struct{}{}}
	if shared {
		u.db = d
	} else {
		rand.Read(u.boot[:])
	}
	return u
}

// bind adds to the associated data of a block what ties it to this process.
func (u *usedBlocks) bind(ad []byte) []byte { return append(ad, u.boot[:]...) }

func (u *usedBlocks) take(ctx context.Context, now time.Time, id [16]byte, expires int64) error {
	if u.db != nil {
		return u.db.Tx(ctx, func(tx *db.Tx) error { return useSession(ctx, tx, session{ID: id, Expires: expires}) })
	}
	const minute = int64(time.Minute / time.Microsecond)
	u.mu.Lock()
	defer u.mu.Unlock()
	m := expires / minute
	ids := u.minutes[m]
	if ids == nil {
		for old := range u.minutes {
			if (old+1)*minute <= now.UnixMicro() {
				delete(u.minutes, old)
			}
		}
		ids = map[[16]byte]struct{}{}
		u.minutes[m] = ids
	}
	if _, used := ids[id]; used {
		return errSessionUsed
	}
	ids[id] = struct{}{}
	return nil
}

// usedID is the key of a used session: in order of expiry, so that rows arrive and leave at the ends of the index.
func usedID(id [16]byte, expires int64) string {
	key := binary.BigEndian.AppendUint64(nil, uint64(expires))
	return hex.EncodeToString(append(key, id[:]...))
}

// boundTo is the associated data of what is sealed for one client of a pool.
func boundTo(version byte, poolID, clientID string) []byte {
	return append(append(append([]byte{version}, poolID...), 0), clientID...)
}

// packer writes the fields of a sealed value one after the other.
type packer []byte

func (w *packer) number(n int64) { *w = binary.AppendVarint(*w, n) }
func (w *packer) text(s string)  { *w = append(binary.AppendUvarint(*w, uint64(len(s))), s...) }
func (w *packer) bytes(b []byte) { *w = append(binary.AppendUvarint(*w, uint64(len(b))), b...) }
func (w *packer) texts(list []string) {
	w.number(int64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}
func (w *packer) flag(b bool) {
	if b {
		*w = append(*w, 1)
	} else {
		*w = append(*w, 0)
	}
}

// unpacker reads what a packer wrote. After a field that is not there every further one is empty, and done says so.
type unpacker struct {
	rest []byte
	bad  bool
}

func (r *unpacker) number() int64 {
	n, size := binary.Varint(r.rest)
	return skip(r, n, size)
}

func (r *unpacker) bytes() []byte {
	n, size := binary.Uvarint(r.rest)
	n = skip(r, n, size)
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// filling skips zeros.
func (r *unpacker) filling() { r.rest = bytes.TrimLeft(r.rest, "\x00") }

func (r *unpacker) text() string { return string(r.bytes()) }

func (r *unpacker) texts() (list []string) {
	n := r.number()
	for i := int64(0); i < n && !r.bad; i++ {
		list = append(list, r.text())
	}
	return list
}

func (r *unpacker) flag() bool {
	if len(r.rest) == 0 {
		r.bad = true
		return false
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b == 1
}

func skip[T int64 | uint64](r *unpacker, n T, size int) T {
	if size <= 0 {
		r.rest, r.bad = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// done reports whether every field was there, and nothing else.
func (r *unpacker) done() bool { return !r.bad && len(r.rest) == 0 }
