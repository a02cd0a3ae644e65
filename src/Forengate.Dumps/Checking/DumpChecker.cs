using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>Judges a dump as a debugger would read it, in a debugger's order, and says what one would show or miss. Never fails on damaged content: that is what it reports.</summary>
public static class DumpChecker
{
    private const uint MachineAmd64 = 0x8664;

    /// <summary>Checks a file.</summary>
    /// <param name="path">The dump.</param>
    /// <param name="findWindows">Finds Windows in a view, whatever the header says; null: the dump is only compared with itself.</param>
    /// <param name="ct">Ends it.</param>
    /// <exception cref="ImageFormatException">The file is no crash dump at all, or ends inside its header.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static CheckReport Check(string path, Func<View, CancellationToken, WindowsSearch>? findWindows = null, CancellationToken ct = default)
    {
        using var image = CrashDumpImage.Open(path);
        return image.Is64Bit ? Check64(path, image, findWindows, ct) : Check32(path, image, findWindows, ct);
    }

    /// <summary>Checks a header alone: the values that can be judged without memory.</summary>
    /// <param name="header">The header.</param>
    /// <param name="fileLength">What the file is said to have, in bytes.</param>
    public static IReadOnlyList<CheckFinding> CheckHeader(CrashDumpHeader64 header, ulong fileLength)
    {
        var findings = new CheckFindings();
        HeaderCheck.Run(header, findings);
        if (header.DumpType is CrashDumpType.Full)
            RunCheck.Run(CrashDumpRunTable.Read(header, fileLength), header.RequiredDumpSpace, fileLength, findings);
        return findings.All();
    }

    private static CheckReport Check64(string path, CrashDumpImage image, Func<View, CancellationToken, WindowsSearch>? findWindows, CancellationToken ct)
    {
        var findings = new CheckFindings();
        var header = image.Header64;
        HeaderCheck.Run(header, findings);
        var report = new CheckReport
        {
            Path = path,
            Kind = $"{image.Kind} dump",
            FileLength = image.FileLength,
            Fields = HeaderFields.Of(header),
            Runs = [],
            Processors = [],
            Findings = [],
        };
        switch (header.DumpType)
        {
            case CrashDumpType.Triage:
                report = report with { Modules = TriageCheck.Run(image, findings) };
                break;
            case >= CrashDumpType.Full and <= CrashDumpType.CompleteMemory and not CrashDumpType.HeaderOnly:
                report = report with { Runs = header.DumpType == CrashDumpType.Full ? RunCheck.Run(image, findings) : PageTableCheck.Run(image, findings) };
                if (header.MachineImageType == MachineAmd64 && !IsEncrypted(header))
                    report = CheckMemory(report, header, path, findWindows, findings, ct);
                else
                    findings.Note(CheckCode.Unsupported, "only plain memory of AMD64 systems can be read: beyond header and runs nothing was checked");
                break;
            default:
                findings.Note(CheckCode.Unsupported, $"only the header was checked: dump type 0x{(uint)header.DumpType:x} has no pages that could be found");
                break;
        }
        return report with { Findings = findings.All() };
    }

    private static CheckReport CheckMemory(
        CheckReport report, CrashDumpHeader64 header, string path, Func<View, CancellationToken, WindowsSearch>? findWindows, CheckFindings findings, CancellationToken ct)
    {
        using var view = ImageReader.Open(path, new ImageOpenOptions { Format = CrashDumpFormat.FormatName }, ct);
        var search = findWindows?.Invoke(view, ct);
        var eye = DebuggerEye.Open(header, view.Memory, search?.System, findings);
        if (eye is not null)
        {
            report = report with { Modules = ListCheck.Modules(header, eye, findings), Processes = ListCheck.Processes(header, eye, findings) };
            if (eye.Kdbg is { } kdbg)
                report = report with { Processors = new ProcessorCheck(CrashDumpHeader64Snapshot.Of(header), eye.Space, kdbg, findings).Run(ct) };
        }
        if (search is not null)
            WindowsCheck.Run(header, search, eye?.Kdbg, findings);
        return report;
    }

    private static CheckReport Check32(string path, CrashDumpImage image, Func<View, CancellationToken, WindowsSearch>? findWindows, CancellationToken ct)
    {
        var findings = new CheckFindings();
        var header = image.Header32;
        int? modules = null, processes = null;
        var runs = header.DumpType switch
        {
            CrashDumpType.Full => RunCheck.Run(image, findings),
            CrashDumpType.Summary or CrashDumpType.BitmapFull or CrashDumpType.BitmapKernel => PageTableCheck.Run(image, findings),
            _ => null,
        };
        if (header.DumpType == CrashDumpType.Triage)
        {
            SmallHeaderCheck32.Run(header, findings);
            modules = TriageCheck.Run(image, findings);
        }
        else if (runs is null || (header.Attributes & CrashDumpAttributes.EncryptedDumpData) != 0)
        {
            findings.Note(CheckCode.Unsupported, "a dump of 32-bit Windows without plain memory: only its header was checked");
        }
        else
        {
            using var view = ImageReader.Open(path, new ImageOpenOptions { Format = CrashDumpFormat.FormatName }, ct);
            (modules, processes) = X86Check.Run(header, view.Memory, findWindows?.Invoke(view, ct), findings);
        }
        return new CheckReport
        {
            Path = path,
            Kind = $"{image.Kind} dump",
            FileLength = image.FileLength,
            Fields = HeaderFields.Of(header),
            Runs = runs ?? [],
            Processors = [],
            Modules = modules,
            Processes = processes,
            Findings = findings.All(),
        };
    }

    private static bool IsEncrypted(CrashDumpHeader64 header) =>
        (uint)header.Attributes != CrashDumpHeader64.Filler && (header.Attributes & CrashDumpAttributes.EncryptedDumpData) != 0;
}
