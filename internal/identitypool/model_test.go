package identitypool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
)

// The reference model: what a pool does by the rules of the documentation, in memory and without a thought for speed.

type modelLogin struct{ provider, subject string } // provider: people, partners or backend

func (l modelLogin) developer() bool { return l.provider == backend }

type modelIdentity struct {
	id            string
	age           int
	enabled, user bool
	mergedInto    *modelIdentity
	deleted       bool
	logins        map[modelLogin]bool
}

type model struct {
	identities []*modelIdentity // deleted ones as well
}

// Outcomes that are not an identity.
const (
	notFound   = "ResourceNotFoundException"
	forbidden  = "NotAuthorizedException: Access to Identity"
	strangerTo = "NotAuthorizedException: Logins don't match."
	conflict   = "ResourceConflictException"
	registered = "DeveloperUserAlreadyRegisteredException"
	madeNew    = "new"
)

func (m *model) owner(l modelLogin) *modelIdentity {
	for _, i := range m.identities {
		if !i.deleted && i.logins[l] {
			return i
		}
	}
	return nil
}

func (m *model) add(user bool, logins ...modelLogin) {
	i := &modelIdentity{age: len(m.identities), enabled: true, user: user, logins: map[modelLogin]bool{}}
	for _, l := range logins {
		i.logins[l] = true
	}
	m.identities = append(m.identities, i)
}

// clash reports whether one identity may not have all of the logins.
func clash(logins map[modelLogin]bool) bool {
	accounts := map[string]int{}
	for l := range logins {
		if accounts[l.provider]++; accounts[l.provider] > 1 && !l.developer() {
			return true
		}
	}
	return len(logins) > loginsMost
}

// unite makes survivor have the logins of all, and of the others disabled ones.
func unite(survivor *modelIdentity, all []*modelIdentity, more []modelLogin) bool {
	logins := maps.Clone(survivor.logins)
	for _, i := range all {
		maps.Copy(logins, i.logins)
	}
	for _, l := range more {
		logins[l] = true
	}
	if clash(logins) {
		return false
	}
	for _, i := range all {
		if i != survivor {
			i.enabled, i.mergedInto, i.logins = false, survivor, map[modelLogin]bool{}
		}
	}
	survivor.logins = logins
	survivor.user = survivor.user || len(logins) > 0
	return true
}

// resolve returns the identity that answers, or an outcome. It adds one to the model where one is made.
func (m *model) resolve(asked *modelIdentity, logins []modelLogin) (*modelIdentity, string) {
	if asked != nil && asked.deleted {
		return nil, notFound
	}
	if len(logins) == 0 {
		switch {
		case asked == nil:
			m.add(false)
			return nil, madeNew
		case asked.enabled && !asked.user:
			return asked, ""
		}
		return nil, forbidden
	}
	var set []*modelIdentity
	var free []modelLogin
	for _, l := range logins {
		if o := m.owner(l); o == nil {
			free = append(free, l)
		} else if !slices.Contains(set, o) {
			set = append(set, o)
		}
	}
	if asked != nil {
		a := asked
		for a.mergedInto != nil {
			if a = a.mergedInto; a.deleted {
				return nil, notFound
			}
		}
		for _, l := range logins {
			if o := m.owner(l); l.developer() && o != nil && o != a {
				return nil, registered
			}
		}
		if !slices.Contains(set, a) {
			if a.user || a != asked {
				return nil, strangerTo
			}
			set = append(set, a)
		}
	}
	if len(set) == 0 {
		m.add(true, logins...)
		return nil, madeNew
	}
	survivor := slices.MinFunc(set, func(a, b *modelIdentity) int {
		if a.user != b.user {
			if a.user {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.age, b.age)
	})
	if !unite(survivor, set, free) {
		return nil, conflict
	}
	return survivor, ""
}

// player plays random operations of some users against the service and a model of their identities. Other players may play
// at the same time with other users.
type player struct {
	*testing.T
	w       *world
	ctx     context.Context // signed by the account
	pool    string
	random  *rand.Rand
	model   model
	tokens  map[modelLogin]string // ID tokens
	log     []string
	subject func(n int) string
}

func newPlayer(t *testing.T, w *world, pool, name string, seed uint64) *player {
	p := &player{T: t, w: w, pool: pool, random: rand.New(rand.NewPCG(seed, 1)), tokens: map[modelLogin]string{},
		ctx:     awsapi.WithCaller(context.Background(), awsapi.Caller{AccountID: w.account}),
		subject: func(n int) string { return fmt.Sprint(name, "-", n) }}
	for n := range 4 {
		for _, provider := range []string{people, partners} {
			p.tokens[modelLogin{provider, p.subject(n)}] = w.idToken(provider, p.subject(n), nil)
		}
	}
	return p
}

// anyLogin is a login of a random user of the provider.
func (p *player) anyLogin(provider string) modelLogin {
	return modelLogin{provider, p.subject(p.random.IntN(4))}
}

// anyLogins are up to two logins, of different public providers.
func (p *player) anyLogins(least int) []modelLogin {
	providers := []string{people, partners}
	p.random.Shuffle(2, func(i, j int) { providers[i], providers[j] = providers[j], providers[i] })
	var logins []modelLogin
	for _, provider := range providers[:least+p.random.IntN(3-least)] {
		logins = append(logins, p.anyLogin(provider))
	}
	return logins
}

func (p *player) wire(logins []modelLogin) map[string]string {
	m := map[string]string{}
	for _, l := range logins {
		if l.developer() {
			m[backend] = l.subject
		} else if p.random.IntN(2) == 0 {
			m[awsName(l.provider)] = p.tokens[l]
		} else {
			m[hostName(l.provider)] = p.tokens[l]
		}
	}
	return m
}

// anyIdentity is a random one of the latest; nil if there is none.
func (p *player) anyIdentity() *modelIdentity {
	all := p.model.identities
	if len(all) == 0 {
		return nil
	}
	return all[max(0, len(all)-1-p.random.IntN(12))]
}

// step plays one operation and compares.
func (p *player) step() {
	asked := p.anyIdentity()
	choice := p.random.IntN(100)
	if asked == nil {
		choice = 0
	}
	var what, got, outcome string
	var want *modelIdentity
	var err error
	switch {
	case choice < 8:
		what = "GetId of a guest"
		want, outcome = p.model.resolve(nil, nil)
		got, err = p.getID(nil)
	case choice < 28:
		logins := p.anyLogins(1)
		what = fmt.Sprint("GetId ", logins)
		want, outcome = p.model.resolve(nil, logins)
		got, err = p.getID(logins)
	case choice < 62:
		logins := p.anyLogins(0)
		what = fmt.Sprint("GetOpenIdToken ", asked.id, logins)
		want, outcome = p.model.resolve(asked, logins)
		var out *api.GetCredentialsForIdentityResponse
		if p.random.IntN(2) == 0 {
			what = fmt.Sprint("GetCredentialsForIdentity ", asked.id, logins)
			if out, err = p.w.s.GetCredentialsForIdentity(p.ctx, &api.GetCredentialsForIdentityInput{IdentityId: &asked.id, Logins: p.wire(logins)}); err == nil {
				got = *out.IdentityId
			}
			break
		}
		k, pool, e := p.w.s.asked(p.ctx, asked.id)
		if err = e; err == nil { // without the signature, which takes long
			var verified []login
			if verified, err = p.w.s.verify(p.ctx, pool, p.wire(logins), false); err == nil {
				got, err = p.w.s.resolve(p.ctx, pool, k, verified)
			}
		}
	case choice < 74:
		logins := append(p.anyLogins(0), p.anyLogin(backend))
		in := &api.GetOpenIdTokenForDeveloperIdentityInput{IdentityPoolId: &p.pool, Logins: p.wire(logins)}
		what = fmt.Sprint("GetOpenIdTokenForDeveloperIdentity ", logins)
		if p.random.IntN(2) == 0 {
			in.IdentityId = &asked.id
			what = fmt.Sprint(what, asked.id)
			want, outcome = p.model.resolve(asked, logins)
		} else {
			want, outcome = p.model.resolve(nil, logins)
		}
		var out *api.GetOpenIdTokenForDeveloperIdentityResponse
		if out, err = p.w.s.GetOpenIdTokenForDeveloperIdentity(p.ctx, in); err == nil {
			got = *out.IdentityId
		}
	case choice < 84:
		proof, remove := p.anyLogins(1), []string{people, partners}[p.random.IntN(2)]
		what = fmt.Sprint("UnlinkIdentity ", asked.id, proof, remove)
		switch {
		case asked.deleted:
			outcome = notFound
		case !slices.ContainsFunc(proof, func(l modelLogin) bool { return p.model.owner(l) == asked }):
			outcome = strangerTo
		default:
			maps.DeleteFunc(asked.logins, func(l modelLogin, _ bool) bool { return l.provider == remove })
		}
		err = p.w.s.UnlinkIdentity(p.ctx, &api.UnlinkIdentityInput{IdentityId: &asked.id, Logins: p.wire(proof), LoginsToRemove: []string{awsName(remove)}})
	case choice < 89:
		l := p.anyLogin(backend)
		what = fmt.Sprint("UnlinkDeveloperIdentity ", asked.id, l)
		switch owner := p.model.owner(l); {
		case asked.deleted || owner == nil:
			outcome = notFound
		case owner != asked:
			outcome = conflict
		default:
			delete(asked.logins, l)
		}
		err = p.w.s.UnlinkDeveloperIdentity(p.ctx, &api.UnlinkDeveloperIdentityInput{IdentityPoolId: &p.pool, IdentityId: &asked.id,
			DeveloperProviderName: aws.String(backend), DeveloperUserIdentifier: &l.subject})
	case choice < 95:
		from, to := p.anyLogin(backend), p.anyLogin(backend)
		what = fmt.Sprint("MergeDeveloperIdentities ", from, to)
		source, destination := p.model.owner(from), p.model.owner(to)
		switch {
		case source == nil || destination == nil:
			outcome = notFound
		case unite(destination, []*modelIdentity{destination, source}, nil):
			want = destination
		default:
			outcome = conflict
		}
		var out *api.MergeDeveloperIdentitiesResponse
		if out, err = p.w.s.MergeDeveloperIdentities(p.ctx, &api.MergeDeveloperIdentitiesInput{IdentityPoolId: &p.pool, DeveloperProviderName: aws.String(backend),
			SourceUserIdentifier: &from.subject, DestinationUserIdentifier: &to.subject}); err == nil {
			got = *out.IdentityId
		}
	default:
		what = fmt.Sprint("DeleteIdentities ", asked.id)
		asked.deleted, asked.logins = true, map[modelLogin]bool{}
		_, err = p.w.admin.DeleteIdentities(context.Background(), &sdk.DeleteIdentitiesInput{IdentityIdsToDelete: []string{asked.id}})
	}
	p.compare(what, got, err, want, outcome)
}

func (p *player) getID(logins []modelLogin) (string, error) {
	out, err := p.w.s.GetId(p.ctx, &api.GetIdInput{IdentityPoolId: &p.pool, Logins: p.wire(logins)})
	if err != nil {
		return "", err
	}
	return *out.IdentityId, nil
}

func (p *player) compare(what, got string, err error, want *modelIdentity, outcome string) {
	p.Helper()
	said := ""
	var e *awsapi.Error
	if errors.As(err, &e) {
		said = e.Code + ": " + e.Message
	} else if err != nil {
		said = err.Error()
	}
	p.log = append(p.log, fmt.Sprint(what, " -> ", got, said))
	ok := true
	switch {
	case outcome == madeNew:
		i := p.model.identities[len(p.model.identities)-1]
		ok = err == nil && got != "" && !slices.ContainsFunc(p.model.identities, func(o *modelIdentity) bool { return o.id == got })
		i.id = got
	case outcome != "":
		ok = strings.HasPrefix(said, outcome)
	case want != nil:
		ok = err == nil && got == want.id
	default:
		ok = err == nil
	}
	if !ok {
		expected := outcome
		if want != nil {
			expected = want.id
		}
		p.Fatalf("want %s; played:\n%s", expected, strings.Join(p.log[max(0, len(p.log)-30):], "\n"))
	}
}

// audit compares every identity.
func (p *player) audit() {
	p.Helper()
	names := map[string]string{awsName(people): people, awsName(partners): partners, backend: backend}
	for _, i := range p.model.identities {
		got, err := p.w.s.Lookup(context.Background(), i.id)
		if i.deleted {
			if !errors.Is(err, api.ErrResourceNotFound) {
				p.Errorf("the deleted %s is %+v, %v", i.id, got, err)
			}
			continue
		}
		if err != nil {
			p.Errorf("%s: %v", i.id, err)
			continue
		}
		logins := map[modelLogin]bool{}
		for _, l := range got.Logins {
			logins[modelLogin{names[l.Provider], l.Subject}] = true
		}
		into := ""
		if i.mergedInto != nil {
			into = i.mergedInto.id
		}
		if got.Enabled != i.enabled || got.MergedInto != into || got.Guest != (i.enabled && !i.user) || !maps.Equal(logins, i.logins) {
			p.Errorf("%s is %+v, the model has %+v", i.id, got, i)
		}
	}
}

// TestModel plays many random operations, one after the other and of several players at once, against the model.
func TestModel(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(withBackend)
		w.setRoles(pool, map[string]string{"authenticated": w.role("User", pool, "authenticated", ""), "unauthenticated": w.role("Guest", pool, "unauthenticated", "")}, nil)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		steps := 600
		if testing.Short() {
			steps = 100
		}
		t.Run("alone", func(t *testing.T) {
			p := newPlayer(t, w, pool, "alone", seed)
			for n := range steps {
				if p.step(); n%100 == 99 {
					p.audit()
				}
			}
		})
		t.Run("together", func(t *testing.T) {
			var wait sync.WaitGroup
			for k := range 6 {
				p := newPlayer(t, w, pool, fmt.Sprint("player", k), seed+uint64(k)+1)
				wait.Go(func() {
					for range steps / 4 {
						p.step()
					}
					p.audit()
				})
			}
			wait.Wait()
		})
		// All play with the same users: nobody can say what each call answers, but what must always hold does, each login has
		// one identity in the end, and every error is one of the documented.
		t.Run("in one another's way", func(t *testing.T) {
			var wait sync.WaitGroup
			players := make([]*player, 6)
			for k := range players {
				p := newPlayer(t, w, pool, "shared", seed+uint64(k)+100)
				players[k] = p
				wait.Go(func() {
					var ids []string
					for range steps / 4 {
						logins := p.anyLogins(1)
						var id string
						var err error
						if len(ids) == 0 || p.random.IntN(3) == 0 {
							id, err = p.getID(logins)
						} else {
							asked := ids[p.random.IntN(len(ids))]
							var out *api.GetCredentialsForIdentityResponse
							if out, err = w.s.GetCredentialsForIdentity(p.ctx, &api.GetCredentialsForIdentityInput{IdentityId: &asked, Logins: p.wire(logins)}); err == nil {
								id = *out.IdentityId
							}
						}
						var e *awsapi.Error
						if err != nil && (!errors.As(err, &e) || e.Status != 400) {
							t.Errorf("%v", err)
							return
						}
						if id != "" {
							ids = append(ids, id)
						}
						if p.random.IntN(8) == 0 {
							if guest, err := p.getID(nil); err == nil {
								ids = append(ids, guest)
							}
						}
					}
				})
			}
			wait.Wait()
			for l := range players[0].tokens {
				first, err := players[0].getID([]modelLogin{l})
				check(t, err)
				if again, err := players[1].getID([]modelLogin{l}); err != nil || again != first {
					t.Errorf("%v is %s and %s, %v", l, first, again, err)
				}
			}
		})
		w.checkInvariants(t)
	})
}
