// libssl and libcrypto (OpenSSL 3). Below, wrappers for macros, which the importer does not see; each is that macro and nothing else.
#ifndef COPENSSL_SHIM_H
#define COPENSSL_SHIM_H

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Macros around SSL_CTX_ctrl.
static inline long copenssl_set_versions(SSL_CTX *context, int lowest, int highest) {
    return SSL_CTX_set_min_proto_version(context, lowest) && SSL_CTX_set_max_proto_version(context, highest);
}
static inline long copenssl_set_mode(SSL_CTX *context, long mode) { return SSL_CTX_set_mode(context, mode); }
static inline long copenssl_set_groups(SSL_CTX *context, const char *names) { return SSL_CTX_set1_groups_list(context, names); }
static inline long copenssl_set_signatures(SSL_CTX *context, const char *names) { return SSL_CTX_set1_sigalgs_list(context, names); }
static inline long copenssl_set_cache_mode(SSL_CTX *context, long mode) { return SSL_CTX_set_session_cache_mode(context, mode); }
static inline long copenssl_add_chain(SSL_CTX *context, X509 *certificate) { return SSL_CTX_add1_chain_cert(context, certificate); }
static inline void copenssl_set_read_ahead(SSL_CTX *context, int yes) { SSL_CTX_set_read_ahead(context, yes); }
// Macros around SSL_ctrl, for clients in tests.
static inline long copenssl_set_name(SSL *connection, const char *name) { return SSL_set_tlsext_host_name(connection, name); }
// Options are made with a macro that shifts (SSL_OP_BIT).
static const uint64_t copenssl_server_options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
    | SSL_OP_PRIORITIZE_CHACHA;

#endif
