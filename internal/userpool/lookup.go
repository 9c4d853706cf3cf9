package userpool

import "context"

// LookupUser returns the sub and the username of a user of a pool, of whichever account, by either or by an alias.
func (s *Service) LookupUser(ctx context.Context, poolID, name string) (sub, username string, err error) {
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return "", "", err
	}
	u, err := s.findUser(ctx, s.DB, p, name)
	if err != nil {
		return "", "", err
	}
	return u.Sub, u.Username, nil
}
