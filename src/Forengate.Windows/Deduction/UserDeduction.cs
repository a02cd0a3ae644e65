using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Finds what leads from a process into its user half: PEB, the 32-bit PEB behind Wow64Process, the session. The PEB's own layout is public and says the system's version.</summary>
internal sealed class UserDeduction(ProcessCensus census, DebuggerData? debugger, SharedFacts? shared, uint build, DeductionLedger ledger)
{
    /// <summary>How far into a session's structure its number is looked for, in bytes.</summary>
    private const int SessionLength = 0x5000;

    /// <summary>Bytes of the structure behind Wow64Process from 10 on that are looked at.</summary>
    private const int Wow64Length = 0x20;

    private const ulong FirstUserAddress = 0x1_0000;
    private const ulong MaxAddress32 = 0xFFFF_0000;

    /// <summary>One process in so many may have a PEB whose page is not in memory.</summary>
    private const int MostUnreadable = 2;

    /// <summary>One process in so many may be told another version of Windows than it runs on, by a compatibility layer.</summary>
    private const int MostLying = 10;

    public void FindPebs()
    {
        var fits = census.Qwords.Where(offset => census.SystemSample.Qword(offset) == 0 && AllArePebs(offset)).ToList();
        if (ledger.Choose(KernelField.EPROCESS_Peb, fits, debugger?.Word(DebuggerDataField.OffsetEprocessPeb), "zero in System and a PEB with the system's own version and build in the others' user half") is not { } peb)
            return;
        foreach (var sample in census.Samples)
        {
            if (sample.Pointer(peb) is { IsNull: false } at && IsPeb(sample, at))
                sample.Peb = at;
        }
        var users = census.Samples.Where(static sample => sample.Peb is not null).ToList();
        var lines = users.Count(HasCommandLine);
        var how = $"winternl.h; {users.Count} PEBs say version {shared?.Major}.{shared?.Minor}, build {build}";
        ledger.Accept(KernelField.PEB_SessionId, PublicLayouts.PebSessionId, how);
        ledger.Accept(KernelField.PEB_ProcessParameters, PublicLayouts.PebParameters, how);
        if (lines * 2 > users.Count)
            ledger.Accept(KernelField.RTL_USER_PROCESS_PARAMETERS_CommandLine, PublicLayouts.ParametersCommandLine, $"winternl.h; a string in the user's half in {lines} of {users.Count} processes");
        else
            ledger.Refuse(KernelField.RTL_USER_PROCESS_PARAMETERS_CommandLine, $"only {lines} of {users.Count} processes have a string there");
    }

    /// <summary>The 32-bit PEB itself (to 8.1), or a kernel structure that begins with its address (from 10 on).</summary>
    public void FindWow64()
    {
        var users = census.Samples.Where(static sample => sample.Peb is not null).ToList();
        var fits = new List<int>();
        var shown = 0;
        foreach (var offset in census.Qwords)
        {
            if (offset == ledger.OffsetOf(KernelField.EPROCESS_Peb) || census.SystemSample.Qword(offset) != 0)
                continue;
            var with = users.Where(sample => sample.Qword(offset) != 0).ToList();
            if (with.Count == 0 || !Wow64Places(with[0].Pointer(offset)).Any(place => ProcessCensus.NearlyAll(with, sample => LeadsToPeb32(sample, sample.Pointer(offset), place))))
                continue;
            fits.Add(offset);
            shown = with.Count;
        }
        ledger.Choose(KernelField.EPROCESS_Wow64Process, fits, null, $"the way to a 32-bit PEB in {shown} processes and zero in all others (no field shows it where no 32-bit program runs)");
    }

    /// <summary>The session's structure: one address for all processes of a session, another for each session; in it the session's number.</summary>
    public void FindSession()
    {
        var users = census.Samples.Where(static sample => sample.Peb is not null)
            .Select(sample => (Sample: sample, Id: sample.Space!.TryRead(sample.Peb!.Value + PublicLayouts.PebSessionId, out uint id) ? id : uint.MaxValue))
            .Where(static user => user.Id != uint.MaxValue)
            .ToList();
        if (users.Select(static user => user.Id).Distinct().Count() < 2)
        {
            ledger.Refuse(KernelField.EPROCESS_Session, "processes of one session only: nothing tells its structure from others they share");
            return;
        }
        var fits = census.Qwords.Where(offset =>
        {
            // The session manager itself belongs to none.
            var inside = users.Where(user => user.Sample.Qword(offset) != 0).ToList();
            return census.SystemSample.Qword(offset) == 0 && inside.Count * 2 > users.Count && inside.TrueForAll(user => KernelPointers.IsObject(user.Sample.Pointer(offset), census.Space.Levels))
                && inside.Select(static user => user.Id).Distinct().Count() >= 2
                && inside.Select(user => user.Sample.Qword(offset)).Distinct().Count() == inside.Select(static user => user.Id).Distinct().Count()
                && inside.GroupBy(user => user.Sample.Qword(offset)).All(static group => group.Select(static user => user.Id).Distinct().Count() == 1);
        }).ToList();
        if (ledger.Choose(KernelField.EPROCESS_Session, fits, null, $"one kernel address for each session, as the PEBs of {users.Count} processes have them") is not { } session)
            return;
        var sessions = users.Where(user => user.Sample.Qword(session) != 0).DistinctBy(static user => user.Id).ToList();
        var places = new List<int>();
        for (var place = 0; place < SessionLength; place += sizeof(uint))
        {
            if (sessions.TrueForAll(user => user.Sample.Space!.TryRead(user.Sample.Pointer(session) + (ulong)place, out uint number) && number == user.Id))
                places.Add(place);
        }
        ledger.Choose(KernelField.MM_SESSION_SPACE_SessionId, places, null, $"the number of each of {sessions.Count} sessions");
    }

    private bool AllArePebs(int offset)
    {
        var (users, readable, wrong) = (0, 0, 0);
        foreach (var sample in census.Samples)
        {
            var at = sample.Pointer(offset);
            if (at.IsNull)
                continue;
            if (!KernelPointers.IsUser(at, census.Space.Levels) || at.PageOffset != 0)
                return false;
            if (sample.Space is not { } space)
                continue;
            users++;
            if (!space.Translate(at).Ok)
                continue;
            readable++;
            wrong += IsPeb(sample, at) ? 0 : 1;
        }
        return readable > 0 && readable * MostUnreadable >= users && wrong * MostLying <= readable;
    }

    private bool IsPeb(ProcessSample sample, VirtualAddress at) =>
        sample.Space is { } space && shared is { } facts
        && space.TryRead(at + PublicLayouts.PebMajorVersion, out uint major) && major == facts.Major
        && space.TryRead(at + PublicLayouts.PebBuildNumber, out ushort number) && number == build
        && space.TryReadPointer(at + PublicLayouts.PebImageBase, out var image) && KernelPointers.IsUser(image, census.Space.Levels);

    private static bool HasCommandLine(ProcessSample sample)
    {
        Span<byte> descriptor = stackalloc byte[UnicodeString.Size];
        return sample.Space!.TryReadPointer(sample.Peb!.Value + PublicLayouts.PebParameters, out var parameters) && KernelPointers.IsUser(parameters, sample.Space.Levels)
            && sample.Space.TryRead(parameters + PublicLayouts.ParametersCommandLine, descriptor)
            && UnicodeString.From(descriptor) is { IsSane: true, IsUser: true } line && (line.Length == 0 || line.Buffer.Value >= FirstUserAddress);
    }

    /// <summary>Where in the kernel's small structure the 32-bit PEB's address may be; nowhere to look where the field is that address.</summary>
    private static IEnumerable<int> Wow64Places(VirtualAddress at) => at.IsKernel ? Enumerable.Range(0, Wow64Length / sizeof(ulong)).Select(static i => i * sizeof(ulong)) : [0];

    private bool LeadsToPeb32(ProcessSample sample, VirtualAddress at, int place)
    {
        if (at.IsKernel && !(KernelPointers.IsObject(at, census.Space.Levels) && census.Space.TryReadPointer(at + (ulong)place, out at)))
            return false;
        return at.Value is >= FirstUserAddress and <= MaxAddress32 && at.PageOffset == 0 && at != sample.Peb && shared is { } facts
            && sample.Space!.TryRead(at + PublicLayouts.Peb32MajorVersion, out uint major) && major == facts.Major
            && sample.Space.TryRead(at + PublicLayouts.Peb32BuildNumber, out ushort number) && number == build;
    }
}
