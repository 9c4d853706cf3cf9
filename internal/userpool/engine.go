package userpool

import (
	"usher/internal/db"
	"usher/internal/token"
)

// authState is what sign-in keeps in memory.
type authState struct {
	attempts *gate
	used     *usedBlocks
	verified *token.VerifiedCache // access tokens
	keys     *db.Cache[string, *poolKeys]
}

// verifiedTokens is how many access tokens are remembered as verified, about 1 KiB each.
const verifiedTokens = 20_000

func (s *Service) initAuth() {
	d, ok := any(s.DB).(interface{ Shared() bool })
	shared := !ok || d.Shared()
	s.auth = authState{attempts: &gate{names: map[string]*turn{}}, used: newUsedBlocks(s.DB, shared), verified: token.NewVerifiedCache(verifiedTokens),
		keys: db.NewCache[string, *poolKeys](s.DB, "user pool keys", maxCachedPools)}
}
