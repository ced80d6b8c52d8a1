// The gateway's tokens (RFC 7519): one algorithm, one issuer, and nothing believed before the signature is checked.

import Base
import Crypto
import Protocol

/// What a token says that was signed by the gateway, is meant for now, and names a user.
struct JSONWebToken: Equatable {
    /// 36 characters, lower case.
    let userID: String
    let role: Role
    /// The token counts before this instant.
    let expires: Instant

    /// Longer ones are refused unread. The gateway's have about 450 bytes.
    static let byteCountMax = 8192
    /// Of the JSON in it. The gateway's have one level.
    static let depthMax = 4
    /// 9999-12-31T23:59:59Z: beyond that a number is no instant.
    private static let secondsMax = 253_402_300_799

    /// Checks a token.
    ///
    /// Stricter than the gateway, which takes any HMAC, any issuer, tokens without an end, numbers in quotes or with a fraction, and
    /// refresh tokens. Like the gateway it knows no leeway: both run on one machine, so on one clock.
    /// - Parameters:
    ///   - secret: the gateway's; with an empty one everything is refused.
    ///   - now: the wall clock.
    /// - Complexity: O(bytes), some 40 microseconds; allocates a small multiple of the token, which `byteCountMax` bounds.
    static func check(_ token: String, secret: Secret, issuer: String, now: Instant) -> Result<JSONWebToken, AuthenticationFailure> {
        guard token.utf8.count <= byteCountMax else { return .failure(.invalid(.tooLong)) }
        guard !secret.isEmpty else { return .failure(.invalid(.noSecret)) }
        if token.hasPrefix(Credential.apiKeyPrefix) { return .failure(.invalid(.keyAsToken)) }
        let bytes = Array(token.utf8)
        // RFC 7515 §3.1: three parts, none of which holds a point.
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let header = object(parts[0]), let signature = Base64URL.decode(parts[2]) else {
            return .failure(.invalid(.malformed))
        }
        // RFC 8725 §3.1: the algorithm is ours to choose; the header may only agree.
        guard header["alg"]?.isText("HS256") == true else { return .failure(.invalid(.algorithm)) }
        if let type = header["typ"], !type.isText("JWT") { return .failure(.invalid(.tokenType)) }
        // RFC 7515 §4.1.11: extensions that must be understood, and are not.
        guard header["crit"] == nil else { return .failure(.invalid(.tokenType)) }
        let isSigned = bytes[..<parts[1].endIndex].withUnsafeBytes { signed in
            Digest.hmacSHA256(signed, key: secret)?.isEqual(to: signature) == true
        }
        guard isSigned else { return .failure(.invalid(.signature)) }
        guard let claims = object(parts[1]) else { return .failure(.invalid(.malformed)) }
        return check(claims, issuer: issuer, now: now)
    }

    private static func check(_ claims: JSON, issuer: String, now: Instant) -> Result<JSONWebToken, AuthenticationFailure> {
        guard isPlain(claims) else { return .failure(.invalid(.claims)) }
        guard claims["iss"]?.isText(issuer) == true else { return .failure(.invalid(.issuer)) }
        guard let end = claims["exp"] else { return .failure(.invalid(.noExpiry)) }
        guard let expires = instant(end) else { return .failure(.invalid(.claims)) }
        // RFC 7519 §4.1.4: "on or after" its end a token must not be accepted.
        guard now < expires else { return .failure(.expired) }
        for name in ["nbf", "iat"] {
            guard let claim = claims[name] else { continue }
            guard let start = instant(claim) else { return .failure(.invalid(.claims)) }
            guard now >= start else { return .failure(.invalid(.notYetValid)) }
        }
        // A refresh token has none of these.
        guard let user = claims["user_id"], let email = claims["email"], let role = claims["role"] else {
            return .failure(.invalid(.notAnAccessToken))
        }
        guard let userID = user.string.flatMap(uuid), email.string?.isEmpty == false, let role = role.string else {
            return .failure(.invalid(.claims))
        }
        return .success(JSONWebToken(userID: userID, role: Role(named: role), expires: expires))
    }

    /// What the gateway looks at, or its JSON library does for it.
    private static let names: Set<String> = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "user_id", "email", "role", "api_key_id"]

    /// Whether both of us read the same in the claims: the gateway takes `NBF` for `nbf`, and refuses texts that are none.
    private static func isPlain(_ claims: JSON) -> Bool {
        (claims.object ?? []).allSatisfy { name, value in
            let folded = fold(name)
            guard names.contains(folded) else { return true }
            guard name.utf8.elementsEqual(folded.utf8) else { return false }
            switch folded {
            case "sub", "jti", "api_key_id": return value.string != nil
            case "aud": return value.string != nil || value.array?.allSatisfy { $0.string != nil } == true
            default: return true
            }
        }
    }

    /// A name as readers know it that do not look at case: by way of the upper case, where `ſ` is an S.
    private static func fold(_ name: String) -> String { name.uppercased().lowercased() }

    /// A part of the token as a JSON object without names that are the same to some reader.
    private static func object(_ part: ArraySlice<UInt8>) -> JSON? {
        guard let bytes = Base64URL.decode(part), let json = try? JSON(parsing: bytes, depthMax: depthMax),  // why does not matter
            let members = json.object
        else { return nil }
        // RFC 7519 §4: readers differ in which of two members they take.
        return Set(members.map { fold($0.key) }).count == members.count ? json : nil
    }

    /// RFC 7519 §2, NumericDate, in whole seconds, as the gateway writes it: digits only.
    private static func instant(_ claim: JSON) -> Instant? {
        guard case .number(let text) = claim, let seconds = Int(text), (0...secondsMax).contains(seconds) else { return nil }
        return Instant(microseconds: Int64(seconds) * 1_000_000)
    }

    /// A user's id as the database has it; nil for what is none, and for the one that stands for no user.
    private static func uuid(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return nil }
        var isNobody = true
        for (index, byte) in bytes.enumerated() {
            if [8, 13, 18, 23].contains(index) {
                guard byte == UInt8(ascii: "-") else { return nil }
            } else {
                guard (48...57).contains(byte) || (97...102).contains(byte | 0x20) else { return nil }
                if byte != UInt8(ascii: "0") { isNobody = false }
            }
        }
        return isNobody ? nil : text.lowercased()
    }
}

extension JSON {
    /// Byte for byte: Swift's own comparison of texts takes different spellings of a letter for equal.
    fileprivate func isText(_ wanted: String) -> Bool { string?.utf8.elementsEqual(wanted.utf8) == true }
}
