//go:build !race

package localapi_test

import "github.com/syncworker/syncworker/internal/localapi"

// manyJoins is what a worker promises to take.
const manyJoins = localapi.DefaultMaxJoins
