namespace Forengate.Engine;

/// <summary>A command that is run after each dump.</summary>
/// <param name="Words">The program and its arguments; it is looked up on PATH where it has no slash. No shell sees them.</param>
/// <param name="TimeLimit">It is killed, with its children, when it takes longer.</param>
public sealed record FollowUp(IReadOnlyList<string> Words, TimeSpan TimeLimit)
{
    /// <summary>Splits a command line at blanks; single and double quotes hold words together, a backslash takes the next character as it is. Nothing is expanded.</summary>
    /// <returns>Null for an empty line or a quote that is not closed.</returns>
    public static IReadOnlyList<string>? Split(string line)
    {
        var words = new List<string>();
        System.Text.StringBuilder? word = null;
        var quote = '\0';
        for (var i = 0; i < line.Length; i++)
        {
            var c = line[i];
            if (c == '\\' && quote != '\'')
            {
                if (++i == line.Length)
                    return null;
                (word ??= new()).Append(line[i]);
            }
            else if (quote != '\0' ? c == quote : c is '\'' or '"')
            {
                word ??= new();
                quote = quote == '\0' ? c : '\0';
            }
            else if (quote == '\0' && char.IsWhiteSpace(c))
            {
                if (word is not null)
                    words.Add(word.ToString());
                word = null;
            }
            else
            {
                (word ??= new()).Append(c);
            }
        }
        if (word is not null)
            words.Add(word.ToString());
        return quote == '\0' && words.Count > 0 && words[0].Length > 0 ? words : null;
    }
}
