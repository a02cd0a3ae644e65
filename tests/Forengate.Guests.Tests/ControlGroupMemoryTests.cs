namespace Forengate.Guests.Tests;

/// <summary>What control groups allow, in folders as the kernel shows them, of either version.</summary>
public sealed class ControlGroupMemoryTests : IDisposable
{
    private const ulong Mebibyte = 1 << 20;
    private readonly string _root = Directory.CreateTempSubdirectory("forengate-groups-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private ulong? Left(params string[] lines)
    {
        var list = Path.Combine(_root, "list");
        File.WriteAllLines(list, lines);
        return ControlGroupMemory.Left(list, _root);
    }

    private void Group(string path, bool second, string limit, ulong used, ulong idle)
    {
        var folder = Directory.CreateDirectory(Path.Combine(_root, path)).FullName;
        File.WriteAllText(Path.Combine(folder, second ? "memory.max" : "memory.limit_in_bytes"), limit + "\n");
        File.WriteAllText(Path.Combine(folder, second ? "memory.current" : "memory.usage_in_bytes"), $"{used}\n");
        File.WriteAllText(Path.Combine(folder, "memory.stat"), second ? $"anon 5\ninactive_file {idle}\nactive_file 7\n" : $"cache 5\ninactive_file 1\ntotal_inactive_file {idle}\n");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_least_of_a_group_and_those_above_it_counts(bool second)
    {
        var (folder, line) = second ? ("", "0::/a/b") : ("memory/", "4:memory:/a/b");
        Group($"{folder}a/b", second, second ? "max" : "9223372036854771712", 10 * Mebibyte, 0);
        Group($"{folder}a", second, $"{100 * Mebibyte}", 40 * Mebibyte, 15 * Mebibyte);
        Assert.Equal(75 * Mebibyte, Left("7:pids:/a/b", line));
        Group($"{folder}a/b", second, $"{30 * Mebibyte}", 10 * Mebibyte, 0);
        Assert.Equal(20 * Mebibyte, Left(line));
        Group($"{folder}a/b", second, $"{30 * Mebibyte}", 31 * Mebibyte, 0);
        Assert.Equal(0UL, Left(line));
    }

    [Fact]
    public void Without_a_limit_nothing_is_said()
    {
        Assert.Null(ControlGroupMemory.Left(Path.Combine(_root, "missing"), _root));
        Assert.Null(Left("0::/", "4:memory:/gone"));
        Group("a", second: true, "max", 10 * Mebibyte, 0);
        Assert.Null(Left("0::/a"));
        Assert.Null(Left("nonsense", "", ":", "4:memory", "x:memory:"));
    }

    /// <summary>In a container the list may name a group by a path that is not to be seen there: its own is the root.</summary>
    [Fact]
    public void A_path_that_is_not_there_leads_to_the_root()
    {
        Group("memory", second: false, $"{64 * Mebibyte}", 4 * Mebibyte, 0);
        Assert.Equal(60 * Mebibyte, Left("4:memory:/docker/0123"));
    }
}
