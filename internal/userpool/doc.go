// Package userpool is Amazon Cognito user pools: directories of users, the apps that sign them in, and the tokens that
// prove it. It serves the operations of cognitoidp.Service; the issuer's public documents are served by its HTTP handlers.
//
// A pool belongs to the account that created it. To every other account it does not exist.
//
// Pools and app clients are read on every request and change rarely: they are kept in memory whole and are immutable there.
// Users are rows. Whoever changes one gives updateUser a function that edits it; names to sign in with (aliases) follow
// from the user's attributes and the pool's settings alone (pool.aliasesOf), so that no caller keeps them itself.
//
// Passwords are kept as sealed SRP verifiers, against which plain passwords are checked too.
//
// Settings that promise protection which this server does not give are refused, not stored (refuseUnavailable).
package userpool
