// Whom the demo's gateway knows: providers, models, users. Names as a fresh gateway has them; people are invented.

enum Catalog {
    struct Provider {
        let name: String
        let type: String
        var status = "active"
        let url: String
        let authentication: String
        let tier: Int64
        let source: String
        let hasTools: Bool
        /// Of its answers, in milliseconds.
        let latencyMedian: Double
        /// Share of all requests.
        let weight: Double
    }

    struct Model {
        /// Index into `providers`.
        let provider: Int
        let name: String
        let displayName: String
        var modality = "chat"
        let context: Int64
        let output: Int64
        var inputPrice = 0.0
        var outputPrice = 0.0
        let capabilities: String
        let tags: String
        let quality: Double
        let speed: Double
    }

    struct User {
        let email: String
        let name: String
        let role: String
    }

    static let providers: [Provider] = [
        Provider(name: "OpenRouter Free", type: "free", url: "https://openrouter.ai/api/v1", authentication: "api_key", tier: 1, source: "manual", hasTools: true, latencyMedian: 640, weight: 5),
        Provider(name: "Google AI Studio", type: "free", url: "https://generativelanguage.googleapis.com/v1beta", authentication: "api_key", tier: 1, source: "manual", hasTools: false, latencyMedian: 420, weight: 4),
        Provider(name: "Groq", type: "freemium", url: "https://api.groq.com/openai/v1", authentication: "api_key", tier: 1, source: "manual", hasTools: true, latencyMedian: 110, weight: 5),
        Provider(name: "Cerebras", type: "freemium", url: "https://api.cerebras.ai/v1", authentication: "api_key", tier: 1, source: "manual", hasTools: false, latencyMedian: 90, weight: 3),
        Provider(name: "Mistral La Plateforme", type: "freemium", url: "https://api.mistral.ai/v1", authentication: "api_key", tier: 1, source: "manual", hasTools: true, latencyMedian: 330, weight: 2),
        Provider(name: "Cohere Free Tier", type: "freemium", url: "https://api.cohere.ai/v1", authentication: "bearer", tier: 1, source: "manual", hasTools: false, latencyMedian: 480, weight: 1),
        Provider(name: "GitHub Models", type: "free", url: "https://models.inference.ai.azure.com", authentication: "api_key", tier: 1, source: "manual", hasTools: false, latencyMedian: 560, weight: 2),
        Provider(name: "Cloudflare Workers AI", type: "free", url: "https://api.cloudflare.com/client/v4/accounts", authentication: "bearer", tier: 1, source: "manual", hasTools: false, latencyMedian: 280, weight: 1),
        Provider(name: "ElectronHub", type: "free", url: "https://api.electronhub.top/v1", authentication: "none", tier: 2, source: "github", hasTools: false, latencyMedian: 1200, weight: 0.5),
        Provider(name: "Ollama Local", type: "local", url: "http://localhost:11434/v1", authentication: "none", tier: 1, source: "manual", hasTools: false, latencyMedian: 900, weight: 0.5),
        Provider(name: "NagaAI", type: "free", status: "maintenance", url: "https://api.naga.ac/v1", authentication: "none", tier: 2, source: "github", hasTools: false, latencyMedian: 1300, weight: 0),
    ]

    static let models: [Model] = [
        Model(provider: 0, name: "deepseek/deepseek-r1:free", displayName: "DeepSeek R1 (free)", context: 163_840, output: 32_768, capabilities: #"{"streaming": true, "tools": false}"#, tags: #"["reasoning", "coding"]"#, quality: 0.9, speed: 0.4),
        Model(provider: 0, name: "meta-llama/llama-3.3-70b-instruct:free", displayName: "Llama 3.3 70B (free)", context: 131_072, output: 8192, capabilities: #"{"streaming": true, "tools": true}"#, tags: #"["general"]"#, quality: 0.82, speed: 0.6),
        Model(provider: 1, name: "gemini-2.0-flash", displayName: "Gemini 2.0 Flash", modality: "multimodal", context: 1_048_576, output: 8192, capabilities: #"{"streaming": true, "vision": true}"#, tags: #"["fast", "long-context"]"#, quality: 0.87, speed: 0.9),
        Model(provider: 1, name: "text-embedding-004", displayName: "Text Embedding 004", modality: "embedding", context: 2048, output: 0, capabilities: "{}", tags: "[]", quality: 0.5, speed: 0.5),
        Model(provider: 2, name: "llama-3.3-70b-versatile", displayName: "Llama 3.3 70B", context: 131_072, output: 32_768, inputPrice: 0.00059, outputPrice: 0.00079, capabilities: #"{"streaming": true, "tools": true}"#, tags: #"["fast", "general"]"#, quality: 0.82, speed: 0.97),
        Model(provider: 2, name: "llama-3.1-8b-instant", displayName: "Llama 3.1 8B", context: 131_072, output: 8192, inputPrice: 0.00005, outputPrice: 0.00008, capabilities: #"{"streaming": true, "tools": true}"#, tags: #"["fast"]"#, quality: 0.6, speed: 1),
        Model(provider: 3, name: "llama3.1-8b", displayName: "Llama 3.1 8B (Cerebras)", context: 8192, output: 8192, capabilities: #"{"streaming": true}"#, tags: #"["fast"]"#, quality: 0.6, speed: 1),
        Model(provider: 4, name: "mistral-small-latest", displayName: "Mistral Small", context: 32_768, output: 8192, inputPrice: 0.0001, outputPrice: 0.0003, capabilities: #"{"streaming": true, "tools": true}"#, tags: #"["eu"]"#, quality: 0.75, speed: 0.7),
        Model(provider: 5, name: "command-r-plus", displayName: "Command R+", context: 128_000, output: 4096, capabilities: #"{"streaming": true}"#, tags: #"["rag"]"#, quality: 0.77, speed: 0.5),
        Model(provider: 6, name: "gpt-4o-mini", displayName: "GPT-4o mini", context: 128_000, output: 16_384, capabilities: #"{"streaming": true, "vision": true}"#, tags: #"["general"]"#, quality: 0.8, speed: 0.7),
        Model(provider: 7, name: "@cf/meta/llama-3.1-8b-instruct", displayName: "Llama 3.1 8B (Workers AI)", context: 8192, output: 2048, capabilities: #"{"streaming": false}"#, tags: "[]", quality: 0.6, speed: 0.6),
        Model(provider: 8, name: "claude-3-haiku", displayName: "Claude 3 Haiku (proxy)", context: 200_000, output: 4096, capabilities: "{}", tags: #"["proxy"]"#, quality: 0.7, speed: 0.3),
        Model(provider: 9, name: "llama3.2:3b", displayName: "Llama 3.2 3B", context: 131_072, output: 4096, capabilities: #"{"streaming": true}"#, tags: #"["local"]"#, quality: 0.5, speed: 0.5),
        Model(provider: 10, name: "gpt-4o:free", displayName: "GPT-4o (Naga)", context: 128_000, output: 4096, capabilities: "{}", tags: #"["proxy"]"#, quality: 0.7, speed: 0.3),
    ]

    static let users: [User] = [
        User(email: "admin@example.test", name: "Ada Admin", role: "admin"),
        User(email: "bot@example.test", name: "Build Bot", role: "user"),
        User(email: "ines@example.test", name: "Inès Côté", role: "user"),
        User(email: "ugo@example.test", name: "Ugo User", role: "user"),
        User(email: "vera@example.test", name: "Vera Viewer", role: "viewer"),
    ]

    /// What the gateway writes where it does not know a user or a model.
    static let nilUUID = "00000000-0000-0000-0000-000000000000"

    struct Failure {
        let status: Int64
        let message: String
        let weight: Double
        /// Of the time until the failure is known; 0: as long as an answer takes.
        let latencyMedian: Double
    }

    /// What goes wrong with a provider that is well.
    static let failures: [Failure] = [
        Failure(status: 429, message: "rate limit exceeded", weight: 45, latencyMedian: 25),
        Failure(status: 429, message: #"upstream returned 429: {"error":{"message":"Rate limit reached for model in organization on tokens per minute (TPM)","type":"tokens"}}"#, weight: 20, latencyMedian: 90),
        Failure(status: 500, message: "internal server error", weight: 10, latencyMedian: 0),
        Failure(status: 503, message: "service unavailable: model is overloaded", weight: 10, latencyMedian: 60),
        Failure(status: 400, message: "context_length_exceeded: la richiesta è troppo lunga (\"max_tokens\" > 8192)\nriprova con meno token — ", weight: 6, latencyMedian: 15),
        Failure(status: 401, message: "invalid api key for provider", weight: 3, latencyMedian: 30),
        Failure(status: 408, message: "request timeout", weight: 3, latencyMedian: 20_000),
        Failure(status: 500, message: "", weight: 3, latencyMedian: 0),
    ]

    /// What goes wrong with one that is not.
    static let outageFailures: [Failure] = [
        Failure(status: 502, message: "bad gateway: dial tcp: connect: connection refused", weight: 50, latencyMedian: 12),
        Failure(status: 503, message: "service unavailable: model is overloaded", weight: 30, latencyMedian: 150),
        Failure(status: 504, message: "context deadline exceeded (Client.Timeout exceeded while awaiting headers)", weight: 20, latencyMedian: 30_000),
    ]
}
