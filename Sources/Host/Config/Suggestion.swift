// "Did you mean …?" for keys, commands and options.

public enum Suggestion {
    /// The word that is most like a mistyped one.
    ///
    /// - Returns: nil where none is near: more than a third of the letters would have to change.
    public static func nearest(to text: String, among words: some Sequence<String>) -> String? {
        // A word longer than this is no slip of the finger, and the comparison below is quadratic.
        guard text.count <= 64 else { return nil }
        let typed = Array(text.lowercased().map { $0 == "-" ? "_" : $0 })
        var best: (word: String, distance: Int)?
        for word in words {
            let distance = distance(typed, Array(word.lowercased().map { $0 == "-" ? "_" : $0 }))
            if distance < best?.distance ?? .max { best = (word, distance) }
        }
        guard let best, best.distance <= max(1, best.word.count / 3) else { return nil }
        return best.word
    }

    /// Insertions, deletions, changes and swaps of neighbours (optimal string alignment).
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var twoBack: [Int] = []
        var back = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var cost = min(row[j] + 1, back[j + 1] + 1, back[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, twoBack[j - 1] + 1) }
                row.append(cost)
            }
            (twoBack, back) = (back, row)
        }
        return back[b.count]
    }
}
