using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>What the list of drivers must look like: entries agree with the images they name.</summary>
internal static class DriverProof
{
    public static void Run(WindowsSystem system, List<Driver> drivers, ProofSheet sheet)
    {
        var headers = drivers.Select(driver => driver.Base.IsKernel && driver.Base.PageOffset == 0 ? LoadedImage.Read(system.Kernel, driver.Base) : null).ToList();
        var (present, sizes, entries) = (0, 0, 0);
        for (var i = 0; i < drivers.Count; i++)
        {
            if (headers[i] is not { } header)
                continue;
            present++;
            sizes += header.SizeOfImage == drivers[i].Size ? 1 : 0;
            entries += drivers[i].EntryPoint is not { } entry || entry - header.Base == header.EntryPoint ? 1 : 0;
        }
        sheet.Check("the first driver is the kernel", drivers.Count == 0 ? null : drivers[0].Base == system.Image.Base, drivers.Count == 0 ? "none" : $"{drivers[0].Name} at {drivers[0].Base}");
        sheet.Check("driver entries lead to images", drivers.Count == 0 ? null : present * 2 >= drivers.Count, $"{present} of {drivers.Count} drivers have a header in memory");
        sheet.All("images are as large as their entries say", sizes, present, "images in memory", essential: true);
        sheet.All("images begin where their entries say", entries, present, "images in memory");
        sheet.All("drivers' bases are pages of the kernel", drivers.Count(driver => KernelPointers.IsObject(driver.Base, system.Levels) && driver.Base.PageOffset == 0), drivers.Count, "drivers");
        sheet.All("drivers' paths end with their names", drivers.Count(static driver => driver.Name.Length > 0 && driver.Path.EndsWith(driver.Name, StringComparison.OrdinalIgnoreCase)), drivers.Count, "drivers");
        var sorted = drivers.OrderBy(static driver => driver.Base).ToList();
        sheet.All("drivers do not overlap", sorted.Where((driver, i) => i == 0 || sorted[i - 1].Base + sorted[i - 1].Size <= driver.Base).Count(), sorted.Count, "drivers");
    }
}
