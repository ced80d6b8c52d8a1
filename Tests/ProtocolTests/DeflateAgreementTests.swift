// What is answered to offers of permessage-deflate (RFC 7692 §7.1).

import Testing

@testable import Protocol

@Suite struct DeflateAgreementTests {
    private func reach(_ fields: [String], _ policy: DeflateAgreement.Policy?) throws -> DeflateAgreement? {
        let lines = fields.map { "Sec-WebSocket-Extensions: \($0)\r\n" }.joined()
        let head = try #require(try parseHead("GET /ws HTTP/1.1\r\nHost: a\r\n\(lines)\r\n"))
        return try DeflateAgreement.reach(head, policy)
    }

    private static let ours = "permessage-deflate; server_no_context_takeover"

    /// Offers, and what is behind `ours` in the answer.
    @Test(arguments: [
        ("permessage-deflate", "", 15, 15),
        // What browsers, and Python's websockets and aiohttp, offer.
        ("permessage-deflate; client_max_window_bits", "", 15, 15),
        ("permessage-deflate; client_max_window_bits=15", "", 15, 15),
        ("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", "; server_max_window_bits=12; client_max_window_bits=12", 12, 12),
        ("permessage-deflate; client_max_window_bits=9", "; client_max_window_bits=9", 15, 9),
        ("permessage-deflate; client_max_window_bits=8", "; client_max_window_bits=8", 15, 9),
        ("permessage-deflate;server_no_context_takeover;client_no_context_takeover", "", 15, 15),
        ("permessage-deflate; client_no_context_takeover; client_max_window_bits=10", "; client_max_window_bits=10", 15, 10),
        ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15", 15, 15),
        ("permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9", 9, 15),
        ("permessage-deflate; server_max_window_bits=8", "; server_max_window_bits=8", 9, 15),
        ("permessage-deflate ; server_max_window_bits = \"10\" ", "; server_max_window_bits=10", 10, 15),
        (#"permessage-deflate; server_max_window_bits="1\0""#, "; server_max_window_bits=10", 10, 15),
        // Of several the first that can be taken.
        ("permessage-bzip2, permessage-deflate", "", 15, 15),
        ("permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=11", "; server_max_window_bits=11", 11, 15),
        ("permessage-deflate; server_max_window_bits=11, permessage-deflate", "; server_max_window_bits=11", 11, 15),
        (",, permessage-deflate ,", "", 15, 15),
    ])
    func shared(offer: String, rest: String, window: Int, clientWindow: Int) throws {
        for takesContext in [true, false] {
            let keeps = takesContext && !offer.contains("client_no_context_takeover")
            let agreement = try #require(try reach([offer], .init(takesContext: takesContext)))
            #expect(agreement.answer == DeflateAgreementTests.ours + (keeps ? "" : "; client_no_context_takeover") + rest)
            #expect(agreement.serverWindow == window && agreement.clientWindow == clientWindow)
            #expect(!agreement.serverKeepsContext && agreement.clientKeepsContext == keeps)
        }
        #expect(try reach([offer], nil) == nil, "where nothing is compressed")
    }

    @Test func fieldsAreOneList() throws {
        #expect(try reach(["foo; bar=1", "permessage-deflate"], .init())?.answer == DeflateAgreementTests.ours)
        #expect(try reach([], .init()) == nil)
        #expect(try reach([""], .init()) == nil)
    }

    @Test(arguments: [
        ("permessage-deflate", "permessage-deflate", 12, true, 15, true),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=12", 12, true, 12, true),
        ("permessage-deflate; client_max_window_bits=15", "permessage-deflate; client_max_window_bits=12", 12, true, 12, true),
        ("permessage-deflate; client_max_window_bits=12", "permessage-deflate; client_max_window_bits=12", 12, true, 12, true),
        ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8", 12, true, 9, true),
        ("permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=12", 12, true, 15, true),
        ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10", 10, true, 15, true),
        ("permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8", 9, true, 15, true),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover", 15, false, 15, true),
        (
            "permessage-deflate; client_no_context_takeover; client_max_window_bits", "permessage-deflate; client_no_context_takeover", 12, true, 15, false
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=13",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=13", 13, false, 15, false
        ),
    ])
    func withContext(offer: String, answer: String, window: Int, keeps: Bool, clientWindow: Int, clientKeeps: Bool) throws {
        let agreement = try #require(try reach([offer], .init(keepsContext: true, windowMax: 12)))
        #expect(agreement.answer == answer)
        #expect(agreement.serverWindow == window && agreement.serverKeepsContext == keeps)
        #expect(agreement.clientWindow == clientWindow && agreement.clientKeepsContext == clientKeeps)
    }

    /// RFC 7692 §7.1: such offers are declined, which is no reason to refuse the connection.
    @Test(arguments: [
        "permessage-deflate; foo", "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08", "permessage-deflate; server_max_window_bits=+9", "permessage-deflate; server_max_window_bits=0x9",
        "permessage-deflate; client_max_window_bits=7", "permessage-deflate; client_max_window_bits=99999999999999999999",
        "permessage-deflate; client_max_window_bits=010", "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "x-webkit-deflate-frame", "permessage-deflate2", "deflate", "permessage-deflate; Server_Max_Window_Bits=10",
    ])
    func declined(offer: String) throws {
        #expect(try reach([offer], .init()) == nil)
        #expect(try reach([offer], .init(keepsContext: true)) == nil)
    }

    /// RFC 6455 §9.1: what does not follow the grammar fails the connection.
    @Test(arguments: [
        "permessage-deflate;", "permessage-deflate; ;", "; permessage-deflate", "permessage-deflate; a=", "permessage-deflate a", "per/message", "=", "a=b",
        #"permessage-deflate; server_max_window_bits="10"#, #"permessage-deflate; server_max_window_bits="""#, #"a; b="c d""#, #"a; b="c"d"#, #"a; b="\"#,
        "permessage-deflate; server_max_window_bits==10", "a; b=c=d", "ä",
    ])
    func malformed(offer: String) {
        for policy in [nil, DeflateAgreement.Policy()] {
            do {
                let agreement = try reach([offer], policy)
                Issue.record("\(offer): \(String(describing: agreement))")
            } catch {
                #expect((error as? HTTPError)?.status == 400)
            }
        }
    }
}
