package userpool

import (
	"context"

	"usher/internal/db"
	"usher/internal/token"
)

// authState is what sign-in keeps in memory.
type authState struct {
	attempts *gate
	used     *usedBlocks
	verified *token.VerifiedCache // access tokens
}

// verifiedTokens is how many access tokens are remembered as verified, about 1 KiB each.
const verifiedTokens = 20_000

func (s *Service) initAuth() {
	// A SQLite database has one process; PostgreSQL may have several nodes, and does not know this function.
	_, err := db.One[string](context.Background(), s.DB, `SELECT sqlite_version()`)
	s.auth = authState{
		attempts: &gate{names: map[string]*turn{}},
		used:     newUsedBlocks(s.DB, err != nil),
		verified: token.NewVerifiedCache(verifiedTokens),
	}
}
