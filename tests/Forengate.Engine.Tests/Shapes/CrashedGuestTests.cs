using System.Buffers.Binary;
using Forengate.Dumps;
using Forengate.Engine.Tests.Referees;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>What a dump says of why the guest stopped: the guest's own bugcheck, or that it ran.</summary>
public sealed class CrashedGuestTests
{
    private const int Code = 0x38, FirstParameter = 0x40;
    private const uint LiveSystem = 0x161;

    [Theory, InlineData("9600"), InlineData("19041")]
    public void The_bugcheck_in_the_guests_memory_is_the_dumps(string family)
    {
        ulong[] parameters = [0xFFFFC00012345678, 2, 0, 0xFFFFF80011223344];
        var verdict = Dumped(family, 0xD1, parameters, "--bugcheck", "D1," + string.Join(',', parameters.Select(parameter => $"{parameter:X}")));
        if (verdict is null)
            return;
        Assert.Contains("D1", verdict[".bugcheck"], StringComparison.Ordinal);
        foreach (var parameter in parameters)
            Assert.Contains($"{parameter:x16}".Insert(8, "`"), verdict[".bugcheck"], StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void A_guest_that_did_not_crash_is_a_live_system() => Dumped("20348", LiveSystem, null);

    /// <summary>Dumps a twin, reads the header's bugcheck, and asks the debugger engine where it is accepted.</summary>
    private static EngineVerdict? Dumped(string family, uint code, ulong[]? parameters, params string[] options)
    {
        using var twin = TwinGuest.Start(TwinImages.Get(["--build", family, "--memory", "128", "--cpus", "2", .. options]));
        var dump = Path.Combine(TwinFolders.New(), "guest.dmp");
        DumpJob.Run(twin.Target, dump, new TargetOptions(), new DumpOptions(), null, TestContext.Current.CancellationToken);
        try
        {
            using (var pages = new DumpPages(dump))
            {
                Assert.Equal(code, BinaryPrimitives.ReadUInt32LittleEndian(pages.Header[Code..]));
                for (var i = 0; i < parameters?.Length; i++)
                    Assert.Equal(parameters[i], BinaryPrimitives.ReadUInt64LittleEndian(pages.Header[(FirstParameter + (8 * i))..]));
            }
            Assert.True(DumpCheck.Of(dump, TestContext.Current.CancellationToken).Passed);
            if (!DebuggerEngine.Accepted)
                return null;
            var verdict = DebuggerEngine.Judge(dump, ".bugcheck");
            Assert.Empty(verdict.Complaints);
            return verdict;
        }
        finally
        {
            File.Delete(dump);
        }
    }
}
