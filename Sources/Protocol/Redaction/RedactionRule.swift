// What counts as a secret: the table of rules, and of the beginnings by which keys of well-known services are known.

/// Why something was masked; the text is its name in counters.
public enum RedactionRule: String, CaseIterable, Sendable {
    /// `Bearer <token>`, as in an Authorization field.
    case bearer
    /// `Basic <base64 of user:password>`.
    case basic
    /// A JSON Web Token, wherever it stands.
    case jwt
    /// A key of the gateway: `gla_…`
    case gatewayKey = "gateway_key"
    /// A key of a provider of models: `sk-…`, `AIza…`
    case providerKey = "provider_key"
    /// A token of another service: GitHub, AWS, Slack, Stripe.
    case serviceToken = "service_token"
    /// `scheme://user:password@host`: the password.
    case urlPassword = "url_password"
    /// The value of a field that the configuration names.
    case field
}

/// Classes of bytes, as bits.
enum SecretClass {
    static let lower: UInt8 = 1
    static let upper: UInt8 = 2
    static let digit: UInt8 = 4
    static let underscore: UInt8 = 8
    static let dash: UInt8 = 16
    static let dot: UInt8 = 32
    /// What else stands in base64 and in the `token68` of RFC 9110 §11.2, but for `=`.
    static let plusSlashTilde: UInt8 = 64

    static let alphanumeric = lower | upper | digit
    static let word = alphanumeric | underscore
    static let base64URL = word | dash
    static let token = base64URL | dot | plusSlashTilde

    static func of(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"): lower
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): upper
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit
        case UInt8(ascii: "_"): underscore
        case UInt8(ascii: "-"): dash
        case UInt8(ascii: "."): dot
        case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "~"): plusSlashTilde
        default: 0
        }
    }
}

/// A key that is known by how it begins. What stands before the beginning must be no letter and no digit.
struct KeyPattern {
    let prefix: StaticString
    let rule: RedactionRule
    /// What may follow, and how much of it at least. Shorter ones are words.
    let body: UInt8
    let bytesMin: Int
    /// Exactly so much.
    var isExact = false
    /// Names made of lower-case words, such as `sk-learn-pipeline-default`, look the same; a key has a digit, an upper-case letter, or no
    /// dash in it.
    var mayBeWords = false
    /// Where in the prefix the three bytes stand by which it is found: the rarest in ordinary text.
    var window = 0

    /// The lengths are below those that the services hand out today, since they have all changed theirs before.
    static let all: [KeyPattern] = [
        .init(prefix: "gla_", rule: .gatewayKey, body: SecretClass.base64URL, bytesMin: 16, mayBeWords: true),
        // OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), DeepSeek, LiteLLM and many others.
        .init(prefix: "sk-", rule: .providerKey, body: SecretClass.base64URL, bytesMin: 16, mayBeWords: true),
        .init(prefix: "csk-", rule: .providerKey, body: SecretClass.alphanumeric, bytesMin: 20),  // Cerebras
        .init(prefix: "gsk_", rule: .providerKey, body: SecretClass.alphanumeric, bytesMin: 20, window: 1),  // Groq
        .init(prefix: "AIza", rule: .providerKey, body: SecretClass.base64URL, bytesMin: 30, window: 1),  // Google
        .init(prefix: "xai-", rule: .providerKey, body: SecretClass.alphanumeric, bytesMin: 20),  // xAI
        .init(prefix: "hf_", rule: .providerKey, body: SecretClass.alphanumeric, bytesMin: 20),  // Hugging Face
        .init(prefix: "pplx-", rule: .providerKey, body: SecretClass.alphanumeric, bytesMin: 20, window: 1),  // Perplexity
        .init(prefix: "nvapi-", rule: .providerKey, body: SecretClass.base64URL, bytesMin: 20, mayBeWords: true, window: 1),  // NVIDIA
        .init(prefix: "r8_", rule: .providerKey, body: SecretClass.alphanumeric, bytesMin: 20),  // Replicate
        .init(prefix: "fw_", rule: .providerKey, body: SecretClass.alphanumeric, bytesMin: 20),  // Fireworks
        .init(prefix: "ya29.", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 20, window: 1),  // Google OAuth
        .init(prefix: "ghp_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 20, window: 1),
        .init(prefix: "gho_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 20),
        .init(prefix: "ghu_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 20, window: 1),
        .init(prefix: "ghs_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 20),
        .init(prefix: "ghr_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 20),
        .init(prefix: "github_pat_", rule: .serviceToken, body: SecretClass.word, bytesMin: 20, window: 4),
        .init(prefix: "glpat-", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 16, mayBeWords: true),
        .init(prefix: "npm_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 30),
        .init(prefix: "AKIA", rule: .serviceToken, body: SecretClass.upper | SecretClass.digit, bytesMin: 16, isExact: true),
        .init(prefix: "ASIA", rule: .serviceToken, body: SecretClass.upper | SecretClass.digit, bytesMin: 16, isExact: true),
        .init(prefix: "xoxa-", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 10),
        .init(prefix: "xoxb-", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 10),
        .init(prefix: "xoxe-", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 10),
        .init(prefix: "xoxp-", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 10),
        .init(prefix: "xoxr-", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 10),
        .init(prefix: "xoxs-", rule: .serviceToken, body: SecretClass.base64URL, bytesMin: 10),
        .init(prefix: "sk_live_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 16),
        .init(prefix: "sk_test_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 16),
        .init(prefix: "rk_live_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 16),
        .init(prefix: "dop_v1_", rule: .serviceToken, body: SecretClass.alphanumeric, bytesMin: 32),
    ]
}
