package userpool

import (
	"runtime"
	"usher/internal/token"
)

// authState is what sign-in keeps in memory.
type authState struct {
	attempts *gate
	used     *usedBlocks
	verified *token.VerifiedCache // access tokens
	hashing  *hashing
	proofs   *turns // of SRP
}

// verifiedTokens is how many access tokens are remembered as verified, about 1 KiB each.
const verifiedTokens = 20_000

func (s *Service) initAuth() {
	s.auth = authState{
		attempts: &gate{names: map[string]*turn{}},
		used:     newUsedBlocks(s.DB, s.DB.Shared()),
		verified: token.NewVerifiedCache(verifiedTokens),
		hashing:  newHashing(runtime.GOMAXPROCS(0)),
		proofs:   newTurns(runtime.GOMAXPROCS(0)),
	}
}
