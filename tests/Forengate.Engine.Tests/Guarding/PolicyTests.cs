using Forengate.Guests;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>Retention, rate, room, names and words, without a guest.</summary>
public sealed class PolicyTests : IDisposable
{
    private static readonly DateTimeOffset s_noon = new(2026, 11, 21, 12, 0, 0, TimeSpan.Zero);

    private readonly string _folder = Directory.CreateTempSubdirectory("forengate-guard-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_guest_has_so_many_dumps_in_a_stretch_of_time_and_others_have_theirs()
    {
        var clock = new StandingClock();
        var limiter = new RateLimiter(new DumpRate(2, TimeSpan.FromHours(1)), clock);
        Assert.True(limiter.TryTake("a"));
        clock.Move(TimeSpan.FromMinutes(30));
        Assert.True(limiter.TryTake("a"));
        Assert.False(limiter.TryTake("a"));
        Assert.False(limiter.TryTake("a"));
        Assert.True(limiter.TryTake("b"));
        Assert.Equal(2, limiter.SuppressedOf("a"));
        // The first is an hour old now, the second is not.
        clock.Move(TimeSpan.FromMinutes(30));
        Assert.True(limiter.TryTake("a"));
        Assert.Equal(2, limiter.TakeSuppressed("a"));
        Assert.Equal(0, limiter.TakeSuppressed("a"));
        Assert.False(limiter.TryTake("a"));
    }

    [Fact]
    public void Without_a_rate_nothing_is_suppressed() =>
        Assert.All(Enumerable.Range(0, 1000), _ => Assert.True(new RateLimiter(null, new StandingClock()).TryTake("a")));

    [Theory]
    [InlineData(null, null, "")]
    [InlineData(2, null, "1 2")]
    [InlineData(1, null, "1 2 3")]
    [InlineData(9, null, "")]
    [InlineData(null, 250UL, "1 2")]
    [InlineData(null, 1UL, "1 2 3")]
    [InlineData(3, 150UL, "1 2 3")]
    public void The_oldest_go_and_the_newest_stays(int? keep, ulong? bytes, string gone)
    {
        KeptDump[] dumps = [.. new[] { 3, 1, 4, 2 }.Select(day => new KeptDump($"{day}", s_noon.AddDays(day), 100))];
        Assert.Equal(gone, string.Join(' ', new Retention(keep, bytes).Excess(dumps).Select(dump => dump.Path)));
    }

    [Fact]
    public void Only_what_name_and_header_prove_ours_is_ever_found()
    {
        var guest = GuestTarget.Parse("libvirt:win_10");
        var label = GuestLabel.Of(guest);
        var ours = new DumpFileName(label, s_noon, "panic", 0xD1).FreePathIn(_folder);
        File.WriteAllBytes(ours, DumpFiles.Header(guest, label, "panic"));
        var second = new DumpFileName(label, s_noon, "panic", 0xD1).FreePathIn(_folder);
        Assert.NotEqual(ours, second);
        File.WriteAllBytes(second, DumpFiles.Header(guest, label, "panic"));
        void Other(string name, byte[] bytes) => File.WriteAllBytes(Path.Combine(_folder, name), bytes);
        // A name alone, a header alone, another guest's under our name, another maker's, cut off, a link.
        Other("win_10_20261121T120001.000Z_panic_D1.dmp", new byte[0x2000]);
        Other("mine.dmp", DumpFiles.Header(guest, label, "panic"));
        Other("win_10_20261121T120002.000Z_panic_D1.dmp", DumpFiles.Header(GuestTarget.Parse("libvirt:10"), "10", "panic"));
        Other("win_10_20261121T120003.000Z_panic_D1.dmp", DumpFiles.Header("Forengate: live guest libvirt:win_10"));
        Other("win_10_20261121T120004.000Z_panic_D1.dmp", DumpFiles.Header(guest, label, "panic")[..0xFF0]);
        Other("win_10_20261121T120005.000Z_panic_D1.dmp.partial-0", DumpFiles.Header(guest, label, "panic"));
        File.CreateSymbolicLink(Path.Combine(_folder, "win_10_20261121T120006.000Z_panic_D1.dmp"), ours);
        Directory.CreateDirectory(Path.Combine(_folder, "win_10_20261121T120007.000Z_panic_D1.dmp"));
        Assert.Equal([ours, second], Retention.Find(_folder, label).Select(dump => dump.Path).OrderByDescending(path => path, StringComparer.Ordinal));
    }

    [Fact]
    public void Room_is_what_is_free_less_the_reserve_and_what_is_promised()
    {
        var free = 1000UL;
        var room = new DumpRoom(() => free, 100);
        Assert.Null(room.TryTake(901));
        using (var promise = room.TryTake(600))
        {
            Assert.NotNull(promise);
            Assert.Null(room.TryTake(301));
            Assert.Equal(300UL, room.Left);
            promise.Dispose();
            Assert.Equal(900UL, room.Left);
        }
        Assert.Equal(900UL, room.Left);
        free = 50;
        Assert.Equal(0UL, room.Left);
        Assert.Null(room.TryTake(1));
    }

    [Theory]
    [InlineData("win10", "win10")]
    [InlineData("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd")]
    [InlineData("-rf", "%2Drf")]
    [InlineData(".hidden", "%2Ehidden")]
    [InlineData("a b\n\u001b[2J", "a%20b%0A%1B%5B2J")]
    [InlineData("gast-ü", "gast-%C3%BC")]
    [InlineData("50%~", "50%25%7E")]
    public void A_guests_name_stays_in_the_folder_and_its_own(string name, string label)
    {
        Assert.Equal(label, GuestLabel.Escape(name));
        var file = new DumpFileName(label, s_noon, "panic", 0xC0000005);
        Assert.Equal($"{label}_20261121T120000.000Z_panic_C0000005.dmp", file.ToString());
        Assert.Equal(file, DumpFileName.Parse(file.ToString()));
        Assert.Equal(_folder, Path.GetDirectoryName(Path.GetFullPath(file.FreePathIn(_folder))));
    }

    [Fact]
    public void Long_names_are_cut_and_stay_different()
    {
        var (one, other) = (GuestLabel.Escape(new string('ü', 400) + "1"), GuestLabel.Escape(new string('ü', 400) + "2"));
        Assert.NotEqual(one, other);
        Assert.True(new DumpFileName(one, s_noon, "watchdog", uint.MaxValue).ToString().Length < 200);
        File.WriteAllBytes(new DumpFileName(one, s_noon, "watchdog", uint.MaxValue).FreePathIn(_folder), []);
    }

    [Theory]
    [InlineData("core.dmp"), InlineData("a_b_c.dmp"), InlineData("a_20261121T120000.000Z_panic_XY.dmp"), InlineData("a_20261321T120000.000Z_panic_D1.dmp"), InlineData("a_20261121T120000.000Z_panic_D1"), InlineData("a_20261121T120000.000Z_Panic_D1.dmp")]
    public void Other_names_are_not_ours(string name) => Assert.Null(DumpFileName.Parse(name));

    [Fact]
    public void Words_for_times_sizes_and_rates_are_taken_or_refused()
    {
        Assert.True(GuardWords.TryTime("90s", out var time) && time == TimeSpan.FromSeconds(90));
        Assert.True(GuardWords.TryTime("2d", out time) && time == TimeSpan.FromDays(2));
        Assert.All(["", "s", "0s", "-1h", "1.5h", "1w", "999999d", " 1h", "99999999999s"], text => Assert.False(GuardWords.TryTime(text, out _), text));
        Assert.True(GuardWords.TrySize("4096", out var bytes) && bytes == 4096);
        Assert.True(GuardWords.TrySize("20g", out bytes) && bytes == 20UL << 30);
        Assert.All(["", "G", "-1", "1.5G", "20 G", "99999999999999999999", "18446744073709551615T", "1P"], text => Assert.False(GuardWords.TrySize(text, out _), text));
        Assert.True(GuardWords.TryRate("3/1h", out var rate) && rate!.ToString() == "3 in 1h");
        Assert.All(["", "/", "3", "0/1h", "3/", "3/0s", "-3/1h", "3/1h/2"], text => Assert.False(GuardWords.TryRate(text, out _), text));
        Assert.Equal(["90s", "2m", "1h", "1d"], new[] { 90, 120, 3600, 86400 }.Select(seconds => GuardWords.Of(TimeSpan.FromSeconds(seconds))));
    }

    [Fact]
    public void A_command_line_is_split_without_a_shell()
    {
        Assert.Equal(["a", "b c", "d\"e", "", "$HOME", "f g"], FollowUp.Split("a 'b c'  d\\\"e '' $HOME f\\ g")!);
        Assert.All(["", "  ", "'a", "\"a", "a\\", "''"], line => Assert.Null(FollowUp.Split(line)));
    }

    [Theory]
    [InlineData("reset", GuestStanding.Runs, true)]
    [InlineData("poweroff", GuestStanding.Ends, true)]
    [InlineData("pause", GuestStanding.Stands, false)]
    [InlineData("none", GuestStanding.Runs, false)]
    [InlineData("inject-nmi", GuestStanding.Runs, false)]
    public void A_watchdog_that_resets_leaves_nothing_to_dump(string action, GuestStanding standing, bool hindered) =>
        Assert.Equal(hindered, GuardPolicy.Hindrance(ToldAlarms.Crash("a", kind: GuestAlarmKind.Watchdog, standing: standing, watchdog: action)) is not null);
}
