// Foreign text in messages of ours.

/// Foreign text as an answer repeats it: at most `count` characters, so that an error never is larger than what caused it.
public func clip(_ text: some StringProtocol, to count: Int = 64) -> String {
    text.count > count ? text.prefix(count) + "…" : String(text)
}
