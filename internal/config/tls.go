package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// ErrBadCA is returned when redis.tls.ca_file holds no certificate.
var ErrBadCA = errors.New("config: no PEM certificate found")

// TLSConfig returns what redis.tls asks for, nil when TLS is off. It reads the
// files; its errors name the key.
func (r Redis) TLSConfig() (*tls.Config, error) {
	if !r.TLS.Enabled {
		return nil, nil // nil is how go-redis and crypto/tls spell "no TLS"
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.TLS.ServerName}
	if r.TLS.CAFile != "" {
		pem, err := os.ReadFile(r.TLS.CAFile)
		if err != nil {
			return nil, &fileError{"redis.tls.ca_file", err}
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &fileError{"redis.tls.ca_file", fmt.Errorf("%w in %s", ErrBadCA, r.TLS.CAFile)}
		}
	}
	if r.TLS.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(r.TLS.CertFile, r.TLS.KeyFile)
		if err != nil {
			return nil, &fileError{"redis.tls.cert_file", err}
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}

// CheckFiles reads every file that the configuration names, so that a missing
// one is found before it is needed, and looks whether the spool's folder can be
// used. It keeps nothing of what it read and makes nothing. Its error is an
// [*Error].
func (c Config) CheckFiles() error {
	_, password := c.Redis.Password()
	_, transport := c.Redis.TLSConfig()
	_, token := c.API.Token()
	var problems []Problem
	for _, err := range []error{password, transport, token} {
		if file, ok := errors.AsType[*fileError](err); ok {
			problems = append(problems, c.problem("names a file that cannot be used: "+file.err.Error(), file.key))
		}
	}
	if folder, ok := errors.AsType[*fileError](c.Spool.check()); ok {
		problems = append(problems, c.problem("names a folder that cannot be used: "+folder.err.Error(), folder.key))
	}
	return refuse(problems)
}
