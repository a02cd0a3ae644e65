using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>Where an image says that it is no x64 system's, one line says why no system was found.</summary>
public sealed class ArchitectureTests
{
    [Theory]
    [InlineData(GuestArchitecture.X86, "32-bit Windows: ")]
    [InlineData(GuestArchitecture.Arm64, "ARM64 Windows: ")]
    public void OtherMachinesAreDeclinedByName(GuestArchitecture architecture, string reason)
    {
        using var view = new View(
            new SmallMemory(), [], new Consistency(ConsistencyLevel.Unknown, ""), new ViewOrigin { Target = "test", Format = "test", Architecture = architecture });
        var search = WindowsSystem.Find(view, ProfileStore.Carried, TestContext.Current.CancellationToken);
        Assert.Null(search.System);
        Assert.StartsWith(reason, search.Reason, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', search.Reason!);
    }
}
