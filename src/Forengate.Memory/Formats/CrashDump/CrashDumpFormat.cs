namespace Forengate.Memory;

/// <summary>
/// Windows crash dumps of every type, 32- and 64-bit: complete ones, bitmap dumps, kernel summaries, the range dumps of debuggers. A small dump has no physical memory, so that its view
/// has none; what it does hold is <see cref="TriageDump"/>'s to give.
/// </summary>
public sealed class CrashDumpFormat : IImageFormat
{
    public const string FormatName = "dmp";

    private const uint MachineX86 = 0x14C, MachineAmd64 = 0x8664, MachineArm64 = 0xAA64;

    public string Name => FormatName;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => CrashDumpHeader64.IsMatch(head) || CrashDumpHeader32.IsMatch(head);

    /// <summary>The view has no CPU records: a dump keeps them in its memory, where they are Windows' to find.</summary>
    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        // Not disposed: the file stays the caller's if this throws, and becomes the view's if not.
        var image = CrashDumpImage.Over(file);
        RefuseUnreadable(image, file.Path);
        var table = CrashDumpPageTable.Read(image, options.Limits);
        cancellation.ThrowIfCancellationRequested();

        var damage = table.Problems.Where(problem => problem.IsDamage).Select(problem => problem.Text).ToList();
        var remarks = table.Problems.Where(problem => !problem.IsDamage).Select(problem => problem.Text).ToList();
        if ((image.Attributes & CrashDumpAttributes.InsufficientDumpfileSize) != 0)
            damage.Add("Windows marked the dump as larger than its dump file could hold: pages are missing");
        var isSmall = image.DumpType == CrashDumpType.Triage;
        if (isSmall)
            remarks.Add("a small dump holds no physical memory, only what Windows picked for it: header, registers, one stack, one process, drivers");
        else if (image.FileLength > table.ExpectedFileSize && table.Pages != 0)
            remarks.Add($"0x{image.FileLength - table.ExpectedFileSize:x} bytes follow the last page");
        if (!isSmall && image.LeavesPagesOut)
        {
            remarks.Add(image.DumpType is CrashDumpType.BitmapFull or CrashDumpType.KernelAndUserMemory
                ? "a dump of active memory: pages that the system had no use for are not in it"
                : "a kernel dump: what processes keep for themselves (command lines, their modules and data) is not in it");
        }
        var (comment, systemTime, machine) = image.Is64Bit
            ? (image.Header64.Comment, image.Header64.SystemTime, image.Header64.MachineImageType)
            : (image.Header32.Comment, image.Header32.SystemTime, image.Header32.MachineImageType);
        return new View(
            new FileMemory(file, table.Extents), [], new Consistency(ConsistencyLevel.Unknown, "a crash dump does not say how its memory was taken"),
            new ViewOrigin
            {
                Target = file.Path,
                Format = $"Windows crash dump, {image.Kind}{(!image.Is64Bit && image.Header32.PaeEnabled ? " (PAE)" : "")}",
                Producer = comment.Length == 0 ? null : comment,
                TakenAt = TimeOf(systemTime),
                Architecture = machine switch
                {
                    MachineX86 => GuestArchitecture.X86,
                    MachineAmd64 => GuestArchitecture.X64,
                    MachineArm64 => GuestArchitecture.Arm64,
                    _ => null,
                },
                KeepsRegistersInMemory = !isSmall,
                Packing = "none",
                FileBytes = image.FileLength,
                Damage = damage,
                Remarks = remarks,
            });
    }

    private static void RefuseUnreadable(CrashDumpImage image, string path)
    {
        if ((image.Attributes & CrashDumpAttributes.EncryptedDumpData) != 0)
            throw new ImageFormatException($"'{path}' is an encrypted crash dump: decrypt it with the key of its machine first");
        var isKnown = image.DumpType is CrashDumpType.Full or CrashDumpType.Summary or CrashDumpType.Triage or CrashDumpType.BitmapFull or CrashDumpType.BitmapKernel or CrashDumpType.Automatic;
        if (isKnown || (image.Is64Bit && image.DumpType is CrashDumpType.KernelMemory or CrashDumpType.KernelAndUserMemory or CrashDumpType.CompleteMemory))
            return;
        throw new ImageFormatException(image.DumpType == CrashDumpType.HeaderOnly
            ? $"'{path}' is the header of a crash dump without any memory: have the whole dump written"
            : $"'{path}' is a crash dump of type 0x{(uint)image.DumpType:x}, which is none that is known for {(image.Is64Bit ? "64" : "32")}-bit Windows: is its header damaged?");
    }

    private static DateTimeOffset? TimeOf(ulong fileTime) =>
        fileTime is 0 or CrashDumpHeader64.LongFiller || fileTime > (ulong)DateTimeOffset.MaxValue.ToFileTime() ? null : DateTimeOffset.FromFileTime((long)fileTime).ToUniversalTime();
}
