import Glibc
import Testing

@testable import Host

@Suite struct PortHolderTests {
    /// Lines as proc(5) shows them.
    static let table = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
           1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
           2: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
        """

    @Test func onlyListeningSocketsOfThePort() {
        #expect(PortHolder.listeningInodes(in: PortHolderTests.table, port: 8080) == ["4711"])
        #expect(PortHolder.listeningInodes(in: PortHolderTests.table, port: 22) == ["4713"])
        #expect(PortHolder.listeningInodes(in: PortHolderTests.table, port: 80) == [])
        #expect(PortHolder.listeningInodes(in: "", port: 80) == [])
        #expect(PortHolder.listeningInodes(in: "head\n1: x\n", port: 80) == [])
    }

    @Test(arguments: ["127.0.0.1", "::1"]) func findsThisProcess(host: String) throws {
        let socket = try ListeningSocket(ListenAddress(host: host, port: 0))
        let address = try #require(socket.address)
        #expect(PortHolder.name(port: address.port)?.hasSuffix("(pid \(getpid()))") == true)
    }
}
